"""Canaries: how much likelier than chance a model finds the secrets that were planted into its training text.

Carlini et al. 2019, "The Secret Sharer" (arXiv:1802.08232). A secret's exposure is log2 of (all references) / (its
rank): among references drawn alike and never planted, how many halvings of the field it is ahead. A secret that the
model has not seen has 1.44 bits in the mean (a rank is then uniform) and over 3 bits once in eight. By rank, none
exceeds log2(references + 1); a skew-normal fitted to the references' likelihoods (section 4.3) goes on beyond.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from prospero.analysis.base import Analysis
from prospero.analysis.histograms import histograms
from prospero.analysis.trained_text import check_tokenizer, trained_data
from prospero.data.canaries import FIELD, Canaries, canaries_of
from prospero.data.prepare import PreparedData
from prospero.errors import ConfigError
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.measurement import Measured, Outcome, Quantity, Subject, Table
from prospero.evaluation.tasks.likelihood import endings, log_likelihoods


@dataclass(kw_only=True, slots=True)
class CanariesAnalysisConfig:
    """Exposure of the secrets that data.canaries.count planted, against secrets that nobody planted."""

    references: int | None = None
    """Secrets never planted among which each is ranked: exposure by rank ends at log2 of this number plus 1; null:
    1000, inside training 200."""

    def __post_init__(self) -> None:
        if self.references is not None and self.references < 100:
            raise ConfigError(f"references={self.references} are too few to rank among; give 100 or more")

    def build(self, name: str, facts: AnalysisFacts) -> "CanariesAnalysis":
        """Return the analysis; ConfigError for a model whose data have no canaries."""
        data = trained_data(name, facts)
        canaries = canaries_of(data.directory, data.receipt)
        if canaries is None:
            raise ConfigError(
                f"analyses.{name}: no canaries were planted into the model's data; train with data.canaries.count=20"
            )
        references = self.references or (200 if facts.training else 1000)
        return CanariesAnalysis(name, data, canaries, references, facts.seed, facts.tokens)


def exposure_by_rank(nats: float, references: np.ndarray) -> float:
    """Return log2((R + 1) / rank) of a secret that costs `nats` among `references` [R]; half its equals come before."""
    rank = 1 + float((references < nats).sum()) + float((references == nats).sum()) / 2
    return math.log2((len(references) + 1) / rank)


def fitted_exposure(nats: Sequence[float], references: np.ndarray, most: float) -> list[float]:
    """Return -log2 of the share of a skew-normal, fitted to `references` [R], that lies below each of `nats`.

    At most `most` bits: log2 of how many secrets there are.
    """
    shape, place, scale = stats.skewnorm.fit(references)
    below = stats.skewnorm.cdf(np.asarray(nats), shape, place, scale)
    return [min(most, -math.log2(max(float(share), 2.0**-1000))) for share in below]


class CanariesAnalysis(Analysis):
    """Each planted secret is an item, and then each control."""

    needs_model = False
    judged = True

    def __init__(
        self, name: str, data: PreparedData, canaries: Canaries, references: int, seed: int, tokens: int | None = None
    ) -> None:
        super().__init__(name)
        self.epochs = None if tokens is None else tokens / data.splits["train"].n_tokens
        self.data, self.canaries, self.secrets = data, canaries, [*canaries.planted, *canaries.controls]
        self.others = canaries.others(references, seed)
        self._known: tuple[Subject, np.ndarray] | None = None

    @property
    def size(self) -> int:
        """Planted secrets and controls."""
        return len(self.secrets)

    @property
    def quantities(self) -> list[Quantity]:
        """Mean bits of exposure, by rank and by the fitted distribution."""
        names = ("planted", "control", "planted_fitted", "control_fitted")
        return [Quantity(name=name, higher_is_better=False) for name in names]

    @property
    def facts(self) -> dict[str, Any]:
        """What was planted, without the secrets."""
        planted = {name: self.data.receipt["canaries"][name] for name in ("count", "copies")}
        known = {"data": self.data.fingerprint, "format": self.canaries.format, "references": len(self.others)}
        return known | planted

    @property
    def caveats(self) -> list[str]:
        """What such a number cannot say."""
        return [
            f"A secret that was never seen has 1.44 bits in the mean and over 3 once in eight; by rank none has more "
            f"than {math.log2(len(self.others) + 1):.1f}.",
            "It is the exposure of this line, so often in the text: what stands there once is memorised otherwise.",
            *self._read_so_far(),
        ]

    def _read_so_far(self) -> list[str]:
        """How often the model has read a secret, where it has not read all of its text once."""
        if self.epochs is None or self.epochs >= 1:
            return []
        copies = self.data.receipt["canaries"]["copies"]
        return [
            f"The model has read {self.epochs:.2f} of its training text, so about {self.epochs * copies:.0f} of the "
            f"{copies} copies of each secret; train longer (max_tokens=) for all of them."
        ]

    def outcomes(self, subject: Subject, items: Sequence[int]) -> Iterator[Outcome]:
        """Weigh the secrets of `items`, and once for a subject the references."""
        if self._known is None or self._known[0] is not subject:
            check_tokenizer(self.name, subject, self.data)
            self._known = (subject, np.array(self._nats(subject, self.others)))
        references = self._known[1]
        nats = self._nats(subject, [self.secrets[item] for item in items])
        most = self.canaries.length * math.log2(len(self.canaries.alphabet))
        for item, cost, fitted in zip(items, nats, fitted_exposure(nats, references, most)):
            ranked = exposure_by_rank(cost, references)
            planted = item < len(self.canaries.planted)
            kind, other = ("planted", "control") if planted else ("control", "planted")
            statistics = {kind: [ranked, 1.0], f"{kind}_fitted": [fitted, 1.0]}
            statistics |= {other: [0.0, 0.0], f"{other}_fitted": [0.0, 0.0]}
            record = {"secret": self.secrets[item], "planted": planted, "nats": cost}
            yield Outcome(item, statistics, record | {"exposure": ranked, "fitted": fitted})

    def _nats(self, subject: Subject, secrets: Sequence[str]) -> list[float]:
        """Return what each secret costs after the beginning of its line."""
        before, after = self.canaries.format.split(FIELD)
        wanted = endings(subject, f"\n{before}", [f"{secret}{after}" for secret in secrets])
        return [-found for found in log_likelihoods(subject, wanted)]

    def tables(self, measured: Measured) -> list[Table]:
        """The secrets, the most exposed first."""
        records = sorted((outcome.record for outcome in measured.outcomes), key=lambda record: -record["fitted"])
        rows = [
            [one["secret"], "planted" if one["planted"] else "control", one["nats"], one["exposure"], one["fitted"]]
            for one in records
        ]
        columns = ("secret", "", "nats", "bits by rank", "bits by the fit")
        return [Table(title="Secrets by exposure", columns=columns, rows=rows)]

    def draw(self, measured: Measured, figure: Any) -> bool:
        """What planted secrets and controls cost."""
        records = [outcome.record for outcome in measured.outcomes]
        nats = {
            label: [one["nats"] for one in records if one["planted"] == planted]
            for label, planted in (("planted", True), ("controls", False))
        }
        histograms(figure.subplots(), nats, x="nats of the secret: left is likelier", y="secrets")
        return True
