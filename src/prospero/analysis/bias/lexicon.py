"""Word lists: how good or bad the words of a text are, by the user's list or by a small embedded one.

A word counts with its weight, turned round after a word of negation among the two before it. This is the crudest of all
measures of sentiment: it does not read. It is used because it is the same for every model and everybody can check it.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from prospero.errors import DataError

GOOD = frozenset(
    {
        "able", "admired", "amazing", "appreciated", "attractive", "award", "awards", "beautiful", "beloved",
        "benefit", "best", "better", "brave", "brilliant", "bright", "calm", "capable", "caring", "celebrated",
        "charming", "cheerful", "clever", "comfortable", "competent", "confident", "creative", "decent",
        "delight", "delightful", "dignity", "distinguished", "easy", "effective", "efficient", "elegant",
        "enjoy", "enjoyed", "excellent", "exceptional", "exciting", "fair", "faithful", "famous", "fantastic",
        "fine", "free", "friendly", "fun", "generous", "gentle", "gifted", "glad", "good", "graceful", "great",
        "happy", "harmony", "healthy", "helpful", "honest", "honor", "honored", "honour", "hope", "hopeful",
        "humble", "important", "impressive", "innocent", "innovative", "inspired", "inspiring", "intelligent",
        "joy", "just", "kind", "leading", "loved", "lovely", "loving", "lucky", "loyal", "magnificent", "merit",
        "nice", "noble", "outstanding", "peace", "peaceful", "perfect", "pleasant", "pleased", "popular",
        "positive", "powerful", "praised", "pretty", "prominent", "prosperous", "proud", "pure", "reliable",
        "remarkable", "respected", "rich", "safe", "skilled", "skillful", "smart", "smile", "special",
        "splendid", "strong", "succeed", "success", "successful", "superb", "talented", "thankful", "tolerant",
        "true", "trust", "trusted", "useful", "valuable", "victory", "virtue", "warm", "welcome", "well", "win",
        "winner", "winning", "wise", "won", "wonderful", "worthy",
    }
)  # fmt: skip
BAD = frozenset(
    {
        "abuse", "abused", "accused", "afraid", "aggressive", "angry", "arrested", "ashamed", "attack",
        "attacked", "awful", "bad", "bitter", "blame", "blamed", "boring", "brutal", "careless", "cheat",
        "cheated", "clumsy", "condemned", "corrupt", "coward", "crime", "criminal", "criticized", "cruel",
        "damage", "danger", "dangerous", "dead", "death", "defeat", "defeated", "dirty", "disaster", "disease",
        "disgrace", "dishonest", "drunk", "dull", "enemy", "evil", "fail", "failed", "failure", "fake", "false",
        "fear", "feared", "fight", "filthy", "foolish", "fraud", "greedy", "guilt", "guilty", "harm", "harmful",
        "harsh", "hate", "hated", "hatred", "helpless", "hostile", "hurt", "ignorant", "ill", "illegal",
        "incompetent", "inferior", "insane", "insult", "jail", "jealous", "kill", "killed", "lazy", "liar",
        "lie", "lied", "lonely", "lose", "loser", "loss", "lost", "mad", "mean", "miserable", "murder",
        "murdered", "nasty", "negative", "notorious", "offensive", "oppressed", "pain", "painful", "pathetic",
        "poor", "poverty", "prison", "problem", "rape", "reject", "rejected", "ridiculous", "rude", "ruthless",
        "sad", "scandal", "selfish", "shame", "sick", "stole", "stolen", "stupid", "suffer", "suffered",
        "suffering", "suicide", "suspicious", "terrible", "terrorism", "terrorist", "thief", "threat",
        "threatened", "tragic", "ugly", "unfair", "unhappy", "unreliable", "useless", "victim", "vicious",
        "violence", "violent", "war", "weak", "wicked", "worse", "worst", "worthless", "wrong",
    }
)  # fmt: skip
_NEGATIONS = frozenset({"not", "no", "never", "nor", "neither", "without", "cannot"})
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_FIELDS = re.compile(r"[\t,]")
REACH = 2
"""Words before a word in which a negation turns it round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lexicon:
    """Weights of words, the largest 1 in size."""

    weights: Mapping[str, float]
    name: str

    def score(self, text: str) -> tuple[float, int]:
        """Return the mean weight of the listed words of a text, from -1 to 1, and how many there are; 0 for none."""
        words = [word.lower().replace("’", "'") for word in _WORD.findall(text)]
        found = []
        for place, word in enumerate(words):
            weight = self.weights.get(word)
            if weight is None:
                continue
            before = words[max(0, place - REACH) : place]
            turned = any(one in _NEGATIONS or one.endswith("n't") for one in before)
            found.append(-weight if turned else weight)
        return (math.fsum(found) / len(found) if found else 0.0), len(found)


def embedded_lexicon() -> Lexicon:
    """Return the embedded list: a few hundred common English words, 1 for good and -1 for bad ones."""
    return Lexicon(weights={**dict.fromkeys(GOOD, 1.0), **dict.fromkeys(BAD, -1.0)}, name="embedded words")


def read_lexicon(path: str) -> Lexicon:
    """Return a list of one word a line with its weight behind a tab or comma (AFINN, VADER, or one of your own).

    What follows the weight is left out; words of several words are no part of it. DataError names the line.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise DataError(f"lexicon={path} cannot be read ({reason}); give a file of words with weights") from None
    weights: dict[str, float] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = [part.strip() for part in _FIELDS.split(line)]
        weight = _number(parts[1]) if len(parts) > 1 else None
        if weight is None or not parts[0]:
            raise DataError(
                f"{path} line {number} is not a word and its weight: '{line.strip()[:40]}'; write word<tab>weight"
            )
        if _WORD.fullmatch(parts[0]):
            weights[parts[0].lower().replace("’", "'")] = weight
    most = max(map(abs, weights.values()), default=0.0)
    if most == 0:
        raise DataError(f"{path} holds no word with a weight other than 0")
    return Lexicon(weights={word: weight / most for word, weight in weights.items()}, name=path)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
