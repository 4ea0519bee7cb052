"""Which of several answers to one prompt is the better one: by a metric of written texts, or by length."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from prospero.errors import ConfigError, suggest
from prospero.evaluation.measurement import Quantity
from prospero.evaluation.metrics.text_base import TextMetric, TextSample

LENGTH = "length"
"""Characters: ranks without a metric."""
REASONS = ("empty answers", "equal answers", "no score", "a tie")
"""Why a prompt gives no pair, in the order in which it is looked at."""


class Better(Enum):
    """Which end of a metric is the better one."""

    auto = "auto"
    higher = "higher"
    lower = "lower"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two of the answers, by their places, and what the metric gave them."""

    chosen: int
    rejected: int
    chosen_score: float
    rejected_score: float


class Ranker:
    """Scores answers by one number and takes the best and the worst."""

    def __init__(
        self, metrics: Sequence[TextMetric], by: str | None, better: Better, *, margin: float, references: bool
    ) -> None:
        """Find the number `by` among those of the metrics; ConfigError when there is none, or it cannot be used."""
        found = {quantity.name: (metric, quantity) for metric in metrics for quantity in metric.quantities}
        known = [*found, LENGTH]
        if by is None and len(found) > 1:
            raise ConfigError(f"by= says what the answers are ranked by; choose one of {', '.join(known)}")
        self.by, self.margin = known[0] if by is None else by, margin
        if self.by not in known:
            raise ConfigError(
                f"by={by} is not measured.{suggest(self.by, known)} Measured are {', '.join(known)}; choose others "
                "with metrics=[...]"
            )
        self.metric, self.quantity = found.get(self.by, (None, Quantity(name=LENGTH)))
        if self.metric is not None and self.metric.needs_references and not references:
            raise ConfigError(f"by={self.by} compares with references; give reference='{{field}}'")
        if self.metric is not None and self.metric.reads_all_predictions:
            raise ConfigError(f"by={self.by} is a number of all answers together; choose one of a single answer")
        self.sign = 1.0 if self.quantity.higher_is_better else -1.0
        if better is not Better.auto:
            self.sign = 1.0 if better is Better.higher else -1.0

    def scores(self, answers: Sequence[str], prompt: str, references: Sequence[str]) -> list[float]:
        """Return the number of each answer; NaN where there is none."""
        if self.metric is None:
            return [float(len(answer)) for answer in answers]
        samples = [TextSample(predictions=[answer], references=list(references), source=prompt) for answer in answers]
        rows = np.asarray(self.metric.statistics(samples), dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            return [float(self.quantity.finish(row)) for row in rows]

    def pair(self, answers: Sequence[str], prompt: str, references: Sequence[str]) -> Pair | str:
        """Return the best and the worst of the answers, or one of REASONS; of equally good ones the first counts."""
        written = [place for place, answer in enumerate(answers) if answer.strip()]
        if len(written) < 2:
            return REASONS[0]
        if len({answers[place] for place in written}) < 2:
            return REASONS[1]
        found = self.scores([answers[place] for place in written], prompt, references)
        scored = [(value, place) for value, place in zip(found, written) if not np.isnan(value)]
        if len(scored) < 2:
            return REASONS[2]
        best = max(scored, key=lambda pair: (self.sign * pair[0], -pair[1]))
        worst = min(scored, key=lambda pair: (self.sign * pair[0], pair[1]))
        if self.sign * (best[0] - worst[0]) <= self.margin:
            return REASONS[3]
        return Pair(best[1], worst[1], best[0], worst[0])
