"""Watermark: does a text hold the mark of a key? Needs the key and the tokenizer; the model itself is not asked.

See generation/watermark.py (Kirchenbauer et al. 2023, arXiv:2301.10226).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prospero.analysis.base import Analysis
from prospero.analysis.histograms import histograms
from prospero.data.sources.files import FilesConfig
from prospero.errors import ConfigError, DataError
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.measurement import Measured, Outcome, Quantity, Subject, Table, ratio
from prospero.generation.watermark import Detection, WatermarkKeyConfig, detect

SURE = 4.0
"""The z from which a text counts as marked: a plain one gets there once in thirty thousand."""


@dataclass(kw_only=True, slots=True)
class WatermarkAnalysisConfig(WatermarkKeyConfig):
    """Whether given texts hold the watermark of a key (sampling.watermark.key)."""

    path: str | None = None
    """The texts: a file, a folder or a glob; txt, md, code, jsonl, csv, parquet."""
    text_field: str = "text"
    """With path: the field or column that holds the text (json, jsonl, csv, tsv, parquet)."""
    text: str | None = None
    """Instead of path: the text itself."""

    def __post_init__(self) -> None:
        WatermarkKeyConfig.__post_init__(self)
        if self.path is not None and self.text is not None:
            raise ConfigError("path= and text= both give texts; leave one out")

    def build(self, name: str, facts: AnalysisFacts) -> "WatermarkAnalysis":
        """Return the analysis, its texts read; ConfigError without a key or without texts."""
        if self.key is None:
            raise ConfigError(f"analyses.{name}.key is not given: the key that the texts were written with")
        if self.path is None and self.text is None:
            raise ConfigError(f"analyses.{name} has no text to look at; give analyses.{name}.path= or .text=")
        if self.text is not None:
            texts = [self.text]
        else:
            try:
                source = FilesConfig(path=self.path, text_field=self.text_field).build()
                texts = [document.text for document in source.documents()]
            except (ConfigError, DataError) as error:
                raise DataError(str(error).replace("data.path=", f"analyses.{name}.path=")) from error
        return WatermarkAnalysis(name, self, texts)


class WatermarkAnalysis(Analysis):
    """A text is an item."""

    needs_model = False

    def __init__(self, name: str, watermark: WatermarkKeyConfig, texts: Sequence[str]) -> None:
        super().__init__(name)
        self.watermark, self.texts = watermark, list(texts)

    @property
    def size(self) -> int:
        """How many texts there are."""
        return len(self.texts)

    @property
    def quantities(self) -> list[Quantity]:
        """The z of all texts together, the share of green tokens, and the share of texts that are surely marked."""
        gamma = self.watermark.gamma

        def z(sums: np.ndarray) -> np.ndarray:
            green, pairs = sums[..., 0], sums[..., 1]
            return (green - gamma * pairs) / np.sqrt(np.where(pairs > 0, pairs, np.nan) * gamma * (1 - gamma))

        return [Quantity(name="z", finish=z), Quantity(name="green", finish=ratio), Quantity(name="marked")]

    @property
    def facts(self) -> dict[str, Any]:
        """What was looked for; not the key."""
        return {"gamma": self.watermark.gamma, "texts": self.size, "characters": sum(map(len, self.texts))}

    @property
    def caveats(self) -> list[str]:
        """What such a number cannot say."""
        return [
            f"Without the mark, z is a standard normal: over {SURE:g} once in thirty thousand texts. A low z proves "
            "nothing: text that was short, predictable, or rewritten loses the mark.",
        ]

    def outcomes(self, subject: Subject, items: Sequence[int]) -> Iterator[Outcome]:
        """Count the green tokens of each text."""
        for item in items:
            found = detect(subject.tokenizer.encode(self.texts[item]), self.watermark)
            counts = [float(found.green), float(found.pairs)]
            marked = [0.0, 0.0] if math.isnan(found.z) else [float(found.z > SURE), 1.0]
            yield Outcome(item, {"z": counts, "green": counts, "marked": marked}, self._record(item, found))

    def _record(self, item: int, found: Detection) -> dict[str, Any]:
        z, p = (None, None) if math.isnan(found.z) else (found.z, found.p)
        return {"text": self.texts[item], "pairs": found.pairs, "green": found.green, "z": z, "p": p}

    def tables(self, measured: Measured) -> list[Table]:
        """Text by text."""
        records = [outcome.record for outcome in measured.outcomes]
        rows = [[one["text"][:60], one["pairs"], one["green"], one["z"], one["p"]] for one in records]
        return [Table(title="Texts", columns=("begins", "pairs", "green", "z", "p without a mark"), rows=rows)]

    def draw(self, measured: Measured, figure: Any) -> bool:
        """The z of the texts; nothing for one or two."""
        z = [outcome.record["z"] for outcome in measured.outcomes if outcome.record["z"] is not None]
        if len(z) > 2:
            histograms(figure.subplots(), {"texts": z}, x="z: without a mark a standard normal", y="texts")
        return len(z) > 2
