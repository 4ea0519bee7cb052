"""WinoBias (Zhao et al. 2018, arXiv:1804.06876): a pronoun that goes with a stereotype, and the one that does not.

The files of github.com/uclanlp/corefBias (read there), WinoBias/wino/data: `pro_stereotyped_type1.txt.test` and
`anti_stereotyped_type1.txt.test`, type2 and `.dev` likewise; one sentence a line, mentions in brackets (in some
editions with a number before them), line n of both about the same: `[The developer] argued with the designer because
[he] did not like the design.` On the hub uclanlp/wino_bias (its card): subsets type1_pro, type1_anti, type2_pro,
type2_anti, splits validation and test, the words in the column `tokens`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prospero.analysis.bias.likelihood import Pair
from prospero.analysis.bias.paired import PairedTexts
from prospero.analysis.bias.pairs import Found, PairSettings, Telling, paired
from prospero.data.records import RecordsConfig, sound
from prospero.errors import ConfigError, DataError, suggest
from prospero.evaluation.analyses import AnalysisFacts

PUBLISHED = "uclanlp/wino_bias"
FILE_ENDINGS = {"test": "test", "validation": "dev"}
MOST_UNLIKE = 0.1
"""Share of lines that may differ in more than pronouns; beyond it the two files do not belong together."""
_NUMBER, _PRONOUN = (
    re.compile(r"^\d+\s+"),
    re.compile(r"\b(?:he|she|him|her|his|hers|himself|herself)\b", re.IGNORECASE),
)
_BEFORE_MARK = re.compile(r" (?=[.,;:?!]|'s\b|n't\b)")


@dataclass(kw_only=True, slots=True)
class WinoBiasConfig(PairSettings):
    """WinoBias: is the pronoun that goes with a stereotype of an occupation the likelier one?"""

    path: str | None = None
    """Folder of the files pro_stereotyped_type1.txt.test and so on."""
    dataset: str | None = None
    """Name on the hub, or a local folder that `datasets` opens; without it and without `path`, uclanlp/wino_bias."""
    revision: str | None = None
    """Branch, tag or commit of the data set."""
    split: str = "test"
    """Which sentences: test, or validation (the files that end in .dev)."""
    types: list[int] = field(default_factory=lambda: [1, 2])
    """1: the pronoun is bound by knowledge of the world alone; 2: by syntax too."""

    def __post_init__(self) -> None:
        PairSettings.__post_init__(self)
        if self.path is not None and self.dataset is not None:
            raise ConfigError(f"path={self.path} and dataset={self.dataset} are two sources; give one of them")
        if self.path is not None and self.revision is not None:
            raise ConfigError(f"revision is that of a data set of the hub, and path={self.path} is none; leave it out")
        if self.split not in FILE_ENDINGS:
            raise ConfigError(f"split={self.split} is none of test, validation.{suggest(self.split, FILE_ENDINGS)}")
        if not self.types or not set(self.types) <= {1, 2}:
            raise ConfigError(f"types={self.types}: choose 1, 2 or both")

    def build(self, name: str, facts: AnalysisFacts) -> PairedTexts:
        """Return the analysis with its sentences read; DataError where two files do not belong together."""
        found, unlike = [], 0
        for kind in dict.fromkeys(self.types):
            pro, anti = self._sentences(kind, "pro"), self._sentences(kind, "anti")
            pairs, more = _paired(pro, anti, f"type{kind}")
            found, unlike = found + pairs, unlike + more
        telling = Telling(
            sides="the pronoun of the stereotype",
            preferred=True,
            caveats=[
                "It was made to test coreference; here it is a test of which sentence is likelier, which holds more "
                "than whom the pronoun refers to.",
                "Its stereotypes are labour statistics of the United States: 40 occupations, two genders.",
                *([f"{unlike} pairs that differ in more than pronouns were left out."] if unlike else []),
            ],
        )
        return paired(name, self, found, telling, facts, f"{self.path or self.dataset or PUBLISHED} {self.split}")

    def _sentences(self, kind: int, side: str) -> "list[tuple[str, str]]":
        """Return (place, sentence) of one file."""
        if self.path is None:
            subset = f"type{kind}_{side}"
            data = RecordsConfig(
                dataset=self.dataset or PUBLISHED, subset=subset, revision=self.revision, split=self.split
            )
            return [
                (f"{record.place} ({subset})", _tidy(" ".join(record.texts("tokens"))))
                for record in data.read(["tokens"])
            ]
        file = Path(self.path, f"{side}_stereotyped_type{kind}.txt.{FILE_ENDINGS[self.split]}")
        return _lines(file)


def _lines(file: Path) -> list[tuple[str, str]]:
    try:
        lines = file.read_text(encoding="utf-8", errors="strict").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise DataError(f"{file} cannot be read ({reason}); give the folder of WinoBias/wino/data") from None
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if line.count("[") != line.count("]") or "[" not in line:
            raise DataError(f"{file} line {number} has no mention in brackets: '{line.strip()[:60]}'")
        found.append((f"{file} line {number}", _tidy(_NUMBER.sub("", line.strip()).replace("[", "").replace("]", ""))))
    if not found:
        raise DataError(f"{file} holds no sentence")
    return found


def _tidy(text: str) -> str:
    """Put marks back to the words that they were cut from."""
    return sound(_BEFORE_MARK.sub("", text))


def _paired(pro: Sequence[tuple[str, str]], anti: Sequence[tuple[str, str]], kind: str) -> tuple[list[Found], int]:
    """Return the pairs that differ in pronouns alone, and how many others there are."""
    if len(pro) != len(anti):
        raise DataError(
            f"{kind}: {len(pro)} stereotyped sentences and {len(anti)} others ({pro[0][0]}, {anti[0][0]}); line n of "
            "both must be one pair"
        )
    found, unlike = [], []
    for (place, first), (other, second) in zip(pro, anti):
        if _PRONOUN.sub("_", first) != _PRONOUN.sub("_", second) or first == second:
            unlike.append(f"{place} and {other}")
            continue
        found.append(Found(item=place, pair=Pair(first=first, second=second), groups=[kind]))
    if len(unlike) > MOST_UNLIKE * len(pro):
        raise DataError(
            f"{unlike[0]} do not differ in pronouns alone, nor do {len(unlike) - 1} others of {len(pro)}; line n of "
            "both must be one pair"
        )
    return found, len(unlike)
