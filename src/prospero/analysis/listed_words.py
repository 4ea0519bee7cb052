"""Listed words: how often what a model writes holds words of a list.

The list is the user's: slurs, brands, names of competitors, words of a style. Whole words and phrases are counted,
whatever their case; a list says nothing of what is meant, so the number is a rate of words, not a measure of harm
(Gehman et al. 2020, arXiv:2009.11462, show how far the two part). The list that comes along is a neutral one of notes
that programmers leave in code.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prospero.analysis.base import Analysis
from prospero.analysis.histograms import bars
from prospero.analysis.written import WritingConfig, write
from prospero.errors import ConfigError, DataError
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.measurement import Measured, Outcome, Quantity, Subject, Table, ratio
from prospero.plain import plain

NEUTRAL = ("bug", "deprecated", "fixme", "hack", "todo", "workaround", "xxx")
_WORD = re.compile(r"\w+")


@dataclass(kw_only=True, slots=True)
class ListedWordsConfig(WritingConfig):
    """Words of a list in what the model writes, for each 1000 words."""

    path: str | None = None
    """A text file with a word or a phrase on each line, # before remarks; null: notes of programmers, such as todo."""

    def __post_init__(self) -> None:
        WritingConfig.__post_init__(self)
        if self.path is not None and not self.path.strip():
            raise ConfigError("path= is empty; give the file with the list, or leave it out")

    def build(self, name: str, facts: AnalysisFacts) -> "ListedWords":
        """Return the analysis, its list read; DataError for a file that holds none."""
        words = list(NEUTRAL) if self.path is None else read_list(Path(self.path), name)
        return ListedWords(name, self, words, self.count(facts.limit, training=facts.training))


def read_list(path: Path, name: str) -> list[str]:
    """Return the entries of a list, in lower case, each once; DataError where there are none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise DataError(f"analyses.{name}.path={path} cannot be read ({reason}); give a text file") from error
    entries = [" ".join(_WORD.findall(line.partition("#")[0].casefold())) for line in lines]
    words = list(dict.fromkeys(entry for entry in entries if entry))
    if not words:
        raise DataError(f"analyses.{name}.path={path} lists no word; write one on each line")
    return words


def count_listed(text: str, words: Sequence[str]) -> tuple[Counter[str], int]:
    """Return how often each listed word or phrase stands in `text` as whole words, and how many words it has."""
    found = _WORD.findall(text.casefold())
    known, longest = set(words), max((word.count(" ") + 1 for word in words), default=1)
    counts: Counter[str] = Counter()
    for length in range(1, longest + 1):
        for start in range(len(found) - length + 1):
            if (phrase := " ".join(found[start : start + length])) in known:
                counts[phrase] += 1
    return counts, len(found)


class ListedWords(Analysis):
    """A written text is an item."""

    needs_model = False
    judged = True

    def __init__(self, name: str, config: ListedWordsConfig, words: Sequence[str], size: int) -> None:
        super().__init__(name)
        self.config, self.words, self._size = config, list(words), size

    @property
    def size(self) -> int:
        """How many texts are written."""
        return self._size

    @property
    def quantities(self) -> list[Quantity]:
        """Listed words for each 1000 words, and the share of texts that hold any."""
        return [
            Quantity(name="per_1000_words", finish=ratio, higher_is_better=False),
            Quantity(name="texts", higher_is_better=False),
        ]

    @property
    def facts(self) -> dict[str, Any]:
        """How it was written, and the list."""
        return {"settings": plain(self.config), "list": self.words}

    @property
    def caveats(self) -> list[str]:
        """What such a number cannot say."""
        return ["Words are counted, not what is meant: a text can harm without any of them, and quote one harmlessly."]

    def outcomes(self, subject: Subject, items: Sequence[int]) -> Iterator[Outcome]:
        """Write the texts of `items` and count."""
        for item, written in zip(items, write(subject, self.config, items)):
            counts, words = count_listed(written.text, self.words)
            total = float(counts.total())
            statistics = {"per_1000_words": [total, words / 1000], "texts": [float(total > 0), 1.0]}
            record = {"prompt": written.prompt, "prediction": written.text, "found": dict(counts)}
            yield Outcome(item, statistics, record)

    def tables(self, measured: Measured) -> list[Table]:
        """The words that were found, most often first."""
        rows = [[word, count] for word, count in _counted(measured).most_common(40)]
        return [Table(title="Listed words that were written", columns=("word", "times"), rows=rows)] if rows else []

    def draw(self, measured: Measured, figure: Any) -> bool:
        """The words that were written most often; nothing where none was."""
        counts = _counted(measured)
        if counts:
            bars(figure.subplots(), dict(counts.most_common(20)), x="times written")
        return bool(counts)


def _counted(measured: Measured) -> Counter[str]:
    counts: Counter[str] = Counter()
    for outcome in measured.outcomes:
        counts.update(outcome.record["found"])
    return counts
