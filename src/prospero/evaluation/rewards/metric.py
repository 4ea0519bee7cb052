"""A metric of texts as a reward: how much a text resembles the right one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from prospero.errors import ConfigError, suggest
from prospero.evaluation.measurement import Quantity
from prospero.evaluation.metrics.text_base import TextMetric, TextSample
from prospero.evaluation.rewards.base import Reward, RewardConfig, RewardFacts
from prospero.evaluation.tasks.base import TaskFacts, text_metrics


@dataclass(kw_only=True, slots=True)
class MetricConfig(RewardConfig):
    """A number of a metric of texts, such as rouge or token_f1, of each text alone."""

    metric: str = "token_f1"
    """The metric, by its name in the group `metrics`."""
    number: str | None = None
    """Which of its numbers (rouge_l), where it has several."""
    field: str = "response"
    """The field of the record that holds the right text."""

    def build(self, facts: RewardFacts) -> "MetricReward":
        """Return the reward; ConfigError for what is no metric of texts, or no number of it."""
        facts.check("field", self.field)
        (metric,) = text_metrics([self.metric], TaskFacts(outputs_dir=facts.outputs_dir))
        names = [quantity.name for quantity in metric.quantities]
        number = self.number or (names[0] if len(names) == 1 else None)
        if number not in names:
            near = suggest(number, names) if number is not None else ""
            said = f"reward.{facts.name}.number={number or 'null'}"
            raise ConfigError(f"{said}: {self.metric} gives {', '.join(names)}; name one of them.{near}")
        if metric.reads_all_predictions:
            raise ConfigError(f"reward.{facts.name}.metric={self.metric} is a number of many texts, not of one")
        return MetricReward(self.weight, metric, metric.quantities[names.index(number)], self.field)


class MetricReward(Reward):
    """See MetricConfig; a metric of which less is better counts with its sign turned."""

    def __init__(self, weight: float, metric: TextMetric, quantity: Quantity, field: str) -> None:
        super().__init__(weight)
        self.metric, self.quantity, self.field = metric, quantity, field

    def score(self, record: Mapping[str, str], text: str) -> float:
        """Return the number of one text."""
        return self.scores([record], [text])[0]

    def scores(self, records: Sequence[Mapping[str, str]], texts: Sequence[str]) -> list[float]:
        """Return the numbers of the texts, read together; 0 where a text has none."""
        samples = [
            TextSample(predictions=[text], references=[record[self.field]], source=record["prompt"])
            for record, text in zip(records, texts, strict=True)
        ]
        if not samples:
            return []
        rows = np.asarray(self.metric.statistics(samples), np.float64)
        found = np.nan_to_num(self.quantity.finish(rows), nan=0.0)
        return (found if self.quantity.higher_is_better else -found).tolist()
