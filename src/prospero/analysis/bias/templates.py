"""Counterfactual templates: one sentence twice, with another person in it and nothing else changed.

    He works as a nurse and is skilled.          His colleagues call this nurse skilled.
    She works as a nurse and is skilled.         Her colleagues call this nurse skilled.

Occupation x attribute x who it is about (a pronoun, a name, a word for a group). The two texts of a pair have equally
many tokens by the model's own tokenizer, and what is compared is, by default, the tokens after the word that was
swapped, given it: the same tokens in both. Pairs of neutral words (two names of one group, `first` and `third`) are
measured in the same way and are the noise floor. Which of two neutral words comes first alternates, so that their mean
is 0 but for chance.

An item is an occupation with praise or with blame; of neutral words it is two words, in sentences about all of these:
how much items differ says how much it matters which words happen to stand for a side (see floor.py). Pairs are drawn by
the seed.
"""

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prospero.analysis.bias.likelihood import Pair, Scored
from prospero.analysis.bias.paired import Contrast, Design, PairedTexts, PairItem
from prospero.analysis.bias.words import AXES, BLAME, MOSTLY_MEN, MOSTLY_WOMEN, PRAISE
from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.errors import ConfigError, suggest
from prospero.evaluation.analyses import AnalysisFacts
from prospero.plain import plain

SILENT_H = frozenset({"honest"})
NEUTRAL_ITEMS = 24
"""Pairs of neutral words on each axis of them, at most."""
NEUTRAL_TIMES = 3
"""Sentences of two neutral words for one of an occupation: there are fewer of these items."""
TRAINING_ITEMS = 140
"""Items of all axes together inside a training, where nobody says how many."""
CONTRASTS = {
    "occupations": "mean difference with men's jobs less that with women's",
    "attributes": "mean difference with praise less that with blame",
}
SIDES = ((1, MOSTLY_MEN), (2, MOSTLY_WOMEN))
ATTRIBUTES = (("praise", PRAISE), ("blame", BLAME))
TONES = {"praise": 1, "blame": 2}
_CAVEATS = [
    "The names stand for groups only as far as readers of one country take them to; a name has other meanings too "
    "(fame, age, class), which the noise floor of names covers in part only.",
    "The sentences are ours and few: English, about occupations, two genders.",
]


@dataclass(kw_only=True, slots=True)
class BiasTemplatesConfig:
    """Differences of log-probability between sentences that differ in a pronoun, a name or a word for a group."""

    axes: list[str] = field(default_factory=lambda: ["pronouns", "gender_names", "ethnicity_names", "religion", "age"])
    """Who takes whose place: pronouns, gender_names, ethnicity_names, religion, age."""
    occupations: list[str] = field(default_factory=list)
    """Occupations of your own in place of the 40 embedded ones; contrasts of men's and women's jobs then fall away."""
    pairs: int = 4
    """Pairs of each occupation with praise, and as many with blame, on every axis."""
    scored: Scored = Scored.after
    """Which tokens are compared: those after the swapped word, those that both texts share, or the whole text."""
    limit: int | None = None
    """Items of each axis at most, evenly spread; null: as the command says for all axes together, or all."""

    def __post_init__(self) -> None:
        known = [name for name, axis in AXES.items() if axis.null]
        if not self.axes:
            raise ConfigError(f"axes=[] compares nobody; choose among {', '.join(known)}")
        for name in self.axes:
            if name not in known:
                raise ConfigError(f"axes: there is no '{name}'; choose among {', '.join(known)}.{suggest(name, known)}")
        for name in ("pairs", "limit"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ConfigError(f"{name}={value} measures nothing; choose 1 or more")
        if "" in [occupation.strip() for occupation in self.occupations]:
            raise ConfigError("occupations: one of them is empty; leave it out")

    def build(self, name: str, facts: AnalysisFacts) -> PairedTexts:
        """Return the analysis; ConfigError where no pair has texts of equally many tokens."""
        axes = [*dict.fromkeys(self.axes), *dict.fromkeys(AXES[axis].null for axis in self.axes)]
        host = TRAINING_ITEMS if facts.training and facts.limit is None else facts.limit
        limit = self.limit if self.limit is not None else host and max(1, host // len(axes))
        made = Maker(self, facts.tokenizer, facts.seed)
        items = [item for axis in axes if AXES[axis].null for item in made.items(axis, limit)]
        nulls = min(NEUTRAL_ITEMS, limit or NEUTRAL_ITEMS)
        for axis in axes:
            items += [] if AXES[axis].null else made.neutral_items(axis, nulls, NEUTRAL_TIMES * self.pairs)
        if not any(item.groups[0] in self.axes for item in items):
            raise ConfigError(
                f"analyses.{name}: with this tokenizer no two sentences of axes={self.axes} have equally many tokens; "
                "choose other axes"
            )
        known: dict[str, Any] = {"settings": plain(self), "word pairs of equal length": made.matched}
        known["word pairs left out"] = made.unmatched
        return PairedTexts(name, items, self._design(axes, made.words), known, _CAVEATS, facts.seed)

    def _design(self, axes: Sequence[str], words: Mapping[str, int]) -> Design:
        labels = {axis: f"{axis}: {AXES[axis].first} / {AXES[axis].second}" for axis in axes}
        contrasts = [] if self.occupations else [_contrast(axis, "occupations") for axis in axes]
        contrasts += [_contrast(axis, "attributes") for axis in axes]
        return Design(
            groups=labels,
            nulls={axis: AXES[axis].null for axis in axes if AXES[axis].null},
            sides="the first of each axis",
            scored=self.scored,
            contrasts=contrasts,
            words=words,
        )


def _contrast(axis: str, by: str) -> Contrast:
    null = AXES[axis].null
    return Contrast(
        name=f"{by}/{axis}",
        group=axis,
        by=by,
        title=CONTRASTS[by],
        null=f"{by}/{null}" if null else "",
    )


Cell = tuple[str, int, str, Sequence[str]]
"""An occupation, its side, praise or blame, and the words of it."""
Choice = tuple[str, str, str, str, str]
"""Template, first word, second word, occupation, attribute."""


def _spread(cells: Sequence[Cell], limit: int) -> list[Cell]:
    """Return `limit` cells of occupations that are evenly spread, praise and blame of each."""
    tones, wanted = len(ATTRIBUTES), -(-limit // len(ATTRIBUTES))
    n = len(cells) // tones
    found = [cells[tones * (place * n // wanted) + tone] for place in range(wanted) for tone in range(tones)]
    return found[:limit]


def _mixed(cells: Sequence[Cell], draw: random.Random, wanted: int) -> list[Cell]:
    """Return some cells more than `wanted`, drawn, those of all sides in turn."""
    kinds: dict[tuple[int, str], list[Cell]] = {}
    for cell in cells:
        kinds.setdefault((cell[1], cell[2]), []).append(cell)
    rounds = 2 * -(-wanted // len(kinds))
    drawn = [draw.sample(of_kind, min(rounds, len(of_kind))) for of_kind in kinds.values()]
    return [of_kind[turn] for turn in range(rounds) for of_kind in drawn if turn < len(of_kind)]


class Maker:
    """Draws the pairs of an axis."""

    def __init__(self, config: BiasTemplatesConfig, tokenizer: Tokenizer, seed: int) -> None:
        self.config, self.tokenizer, self.seed = config, tokenizer, seed
        self.matched: Counter[str] = Counter()
        self.unmatched: Counter[str] = Counter()
        self.words: dict[str, int] = {}
        """Axis -> the different words that stand for its side of fewer words."""

    def items(self, axis: str, limit: int | None) -> list[PairItem]:
        """Return the items of an axis; those without a pair of equally many tokens are left out."""
        words, cells = self._words(axis), list(self._cells())
        self.words[axis] = min(len({first for _, first, _ in words}), len({second for _, _, second in words}))
        if limit is not None and limit < len(cells):
            cells = _spread(cells, limit)
        found = []
        for occupation, side, tone, attributes in cells if words else ():
            draw = random.Random(f"pairs {self.seed} {axis} {occupation} {tone}")
            choices = [(*word, occupation, attribute) for word in words for attribute in attributes]
            draw.shuffle(choices)
            pairs = [pair for _, pair in self._pairs(choices, self.config.pairs)]
            if pairs:
                about = {"occupation": occupation, "attributes": tone}
                sides = {"attributes": [TONES[tone]] * len(pairs), "occupations": [side] * len(pairs)}
                found.append(PairItem(pairs=pairs, groups=[axis], about=about, sides=sides))
        return found

    def neutral_items(self, axis: str, items: int, pairs: int) -> list[PairItem]:
        """Return `items` pairs of neutral words with `pairs` sentences each; every second time they change places."""
        templates: dict[tuple[str, str], list[str]] = {}
        for template, first, second in self._words(axis):
            if first < second:
                templates.setdefault((first, second), []).append(template)
        words, cells, found = sorted(templates), list(self._cells()), list[PairItem]()
        random.Random(f"words {self.seed} {axis}").shuffle(words)
        for first, second in words:
            draw = random.Random(f"pairs {self.seed} {axis} {first} {second}")
            both = (first, second) if len(found) % 2 == 0 else (second, first)
            choices = [
                (draw.choice(templates[first, second]), *both, cell[0], draw.choice(cell[3]))
                for cell in _mixed(cells, draw, pairs)
            ]
            made = list(self._pairs(choices, pairs))
            if made:
                cells_of = [self._cell(occupation, attribute) for (occupation, attribute), _ in made]
                sides = {
                    "attributes": [TONES[tone] for _, tone in cells_of],
                    "occupations": [side for side, _ in cells_of],
                }
                about = {"words": list(both)}
                found.append(PairItem(pairs=[pair for _, pair in made], groups=[axis], about=about, sides=sides))
            if len(found) == items:
                break
        return found

    def _cell(self, occupation: str, attribute: str) -> tuple[int, str]:
        """Return the side of an occupation and the tone of an attribute."""
        side = next((number for number, names in SIDES if occupation in names and not self.config.occupations), 0)
        return side, next(tone for tone, words in ATTRIBUTES if attribute in words)

    def _cells(self) -> Iterator[Cell]:
        sides = ((0, self.config.occupations),) if self.config.occupations else SIDES
        for side, occupations in sides:
            for occupation in occupations:
                for tone, attributes in ATTRIBUTES:
                    yield occupation, side, tone, attributes

    def _words(self, axis: str) -> list[tuple[str, str, str]]:
        """Return (template, first, second) of the pairs of words that make texts of equally many tokens."""
        found = []
        for templates, firsts, seconds in AXES[axis].words:
            for template in templates:
                sizes = {word: self._size(fill(template, word, "nurse", "skilled")) for word in {*firsts, *seconds}}
                for first in firsts:
                    for second in seconds:
                        if first == second:
                            continue
                        equal = sizes[first] == sizes[second]
                        (self.matched if equal else self.unmatched)[axis] += 1
                        found += [(template, first, second)] if equal else []
        return found

    def _pairs(self, choices: Sequence[Choice], most: int) -> Iterator[tuple[tuple[str, str], Pair]]:
        """Give up to `most` pairs of equally many tokens, each after its occupation and attribute."""
        given = 0
        for template, first, second, occupation, attribute in choices:
            texts = fill(template, first, occupation, attribute), fill(template, second, occupation, attribute)
            if given < most and self._size(texts[0]) == self._size(texts[1]):
                given += 1
                yield (occupation, attribute), Pair(first=texts[0], second=texts[1])

    def _size(self, text: str) -> int:
        return len(self.tokenizer.encode(text))


def fill(template: str, who: str, occupation: str, attribute: str) -> str:
    """Return the sentence of a template, with the articles that its words ask for."""
    return template.format(
        who=who,
        occupation=occupation,
        attribute=attribute,
        a_occupation=_with_article(occupation),
        an_attribute=_with_article(attribute),
    )


def _with_article(word: str) -> str:
    return f"{'an' if word[0].lower() in 'aeiou' or word in SILENT_H else 'a'} {word}"
