"""Contamination: how much of an evaluation set stands in the text that the model was trained on.

By runs of n words, without case and signs, as GPT-3's authors did (Brown et al. 2020, arXiv:2005.14165, appendix C,
with n of 8 to 13), or by runs of n tokens, which is quicker. An item is touched where it has any run in common with the
text, and contained where a share of it lies in such runs. `evaluate` does the quick form by itself for every task.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from prospero.analysis.base import Analysis
from prospero.analysis.histograms import histograms
from prospero.analysis.trained_text import trained_data
from prospero.data.overlap import Overlap, WordNumbers, blocks, overlaps
from prospero.data.prepare import PreparedData
from prospero.data.sources.files import FilesConfig
from prospero.errors import ConfigError, DataError
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.measurement import Measured, Outcome, Quantity, Subject, Table, ratio

SHOWN = 12
"""Items in the table."""


class Unit(Enum):
    """What runs are made of."""

    words = "words"
    tokens = "tokens"


@dataclass(kw_only=True, slots=True)
class ContaminationConfig:
    """Runs of words, or tokens, that texts have in common with the training text."""

    path: str | None = None
    """The evaluation set: a file, a folder or a glob, a text an item; null: the model's own validation documents."""
    text_field: str = "text"
    """With path: the field or column that holds the text (json, jsonl, csv, tsv, parquet)."""
    n: int = 13
    """Words or tokens of a run; items with fewer are not judged."""
    unit: Unit = Unit.words
    """words, without case and signs, or tokens, which is quicker; of tokens of few letters take a larger n."""
    share: float = 0.8
    """Part of an item that must lie in common runs for it to count as contained."""
    search_tokens: int = 100_000_000
    """Tokens of the training text that are searched: of more the first, by tokens in blocks spread over it."""
    limit: int | None = None
    """Items at most; null: as the command says, or 1000, inside training 100."""

    def __post_init__(self) -> None:
        for name in ("n", "search_tokens", "limit"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ConfigError(f"{name}={value} must be 1 or more")
        if not 0 < self.share <= 1:
            raise ConfigError(f"share={self.share} is a part of an item; choose above 0 and up to 1")
        if self.path is not None and not self.path.strip():
            raise ConfigError("path= is empty; give a file, a folder or a glob, or leave it out")

    def build(self, name: str, facts: AnalysisFacts) -> "ContaminationAnalysis":
        """Return the analysis, its texts read."""
        data = trained_data(name, facts)
        texts = _documents(data) if self.path is None else _files(name, self.path, self.text_field)
        limit = self.limit or facts.limit or (100 if facts.training else 1000)
        chosen = np.linspace(0, len(texts) - 1, min(limit, len(texts))).round().astype(np.int64).tolist()
        return ContaminationAnalysis(name, self, data, [texts[place] for place in chosen])


def _documents(data: PreparedData) -> list[str]:
    shards = data.splits["val"]
    ends = [int(end) for end in shards.document_ends]
    return [data.tokenizer.decode(shards.tokens(*place)) for place in zip([1, *ends[:-1]], ends)]


def _files(name: str, path: str, text_field: str) -> list[str]:
    try:
        return [document.text for document in FilesConfig(path=path, text_field=text_field).build().documents()]
    except (ConfigError, DataError) as error:
        raise DataError(str(error).replace("data.path=", f"analyses.{name}.path=")) from error


class ContaminationAnalysis(Analysis):
    """A text is an item; the model itself is not asked."""

    needs_model = False
    judged = True

    def __init__(self, name: str, config: ContaminationConfig, data: PreparedData, texts: Sequence[str]) -> None:
        super().__init__(name)
        self.config, self.data, self.texts = config, data, list(texts)
        self._found: list[Overlap] | None = None

    @property
    def size(self) -> int:
        """How many texts there are."""
        return len(self.texts)

    @property
    def quantities(self) -> list[Quantity]:
        """Shares of the items that are touched and contained, and the part of all their words in common runs."""
        return [
            Quantity(name="touched", higher_is_better=False),
            Quantity(name="contained", higher_is_better=False),
            Quantity(name="covered", finish=ratio, higher_is_better=False),
        ]

    @property
    def facts(self) -> dict[str, Any]:
        """What was looked for, and in how much text."""
        config, n = self.config, self.data.splits["train"].n_tokens
        return {
            "data": self.data.fingerprint,
            "path": config.path,
            "n": config.n,
            "unit": config.unit.name,
            "share": config.share,
            "searched_tokens": min(n, config.search_tokens),
            "of_tokens": n,
        }

    @property
    def caveats(self) -> list[str]:
        """What such a number cannot say."""
        return [
            "Runs are compared letter by letter: a translation or a paraphrase is not found, and a quotation that both "
            "texts hold by right is.",
        ]

    def outcomes(self, subject: Subject, items: Sequence[int]) -> Iterator[Outcome]:
        """Say what of each item stands in the training text, which is read once for all items."""
        if self._found is None:
            self._found = self._overlaps()
        for item in items:
            one = self._found[item]
            counts = [0.0, 0.0] if one.length < self.config.n else [float(one.covered > 0), 1.0]
            contained = [float(one.share >= self.config.share) * counts[1], counts[1]]
            covered = [float(one.covered), float(one.length)]
            record = {"text": self.texts[item], "length": one.length, "covered": one.covered, "longest": one.longest}
            yield Outcome(item, {"touched": counts, "contained": contained, "covered": covered}, record)

    def _overlaps(self) -> list[Overlap]:
        n, most, train = self.config.n, self.config.search_tokens, self.data.splits["train"]
        if self.config.unit is Unit.tokens:
            ids = [np.asarray(self.data.tokenizer.encode(text), np.int64) for text in self.texts]
            return overlaps(ids, blocks(train, n, most), n)
        words = WordNumbers()
        wanted = [words.wanted(text) for text in self.texts]
        return overlaps(wanted, words.blocks(train, self.data.tokenizer, most), n)

    def tables(self, measured: Measured) -> list[Table]:
        """The items of which most stands in the text."""
        records: list[Mapping[str, Any]] = [one.record for one in measured.outcomes if one.record["covered"]]
        records.sort(key=lambda one: -one["covered"] / one["length"])
        rows = [[one["text"][:60], one["length"], one["covered"], one["longest"]] for one in records[:SHOWN]]
        columns = ("begins", self.config.unit.name, "in the training text", "longest run")
        return [Table(title="Items that stand in the training text", columns=columns, rows=rows)] if rows else []

    def draw(self, measured: Measured, figure: Any) -> bool:
        """How much of the items stands in the training text."""
        records = [one.record for one in measured.outcomes if one.record["length"]]
        shares = [one["covered"] / one["length"] for one in records]
        named = {"items": shares}
        histograms(figure.subplots(), named, x="part of an item in the training text", y="items", shares=True)
        return True
