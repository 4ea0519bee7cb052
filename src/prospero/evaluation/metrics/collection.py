"""The metrics of a run together: fed by one forward pass, named as they are published."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np
from torch import nn

from prospero.errors import ConfigError, suggest
from prospero.evaluation.measurement import Measurement
from prospero.evaluation.metrics.base import MetricFacts, TokenMetric
from prospero.evaluation.metrics.bits_per_byte import BitsPerByteConfig
from prospero.evaluation.metrics.loss import LossMetric, LossMetricConfig
from prospero.evaluation.metrics.of_mixture import metrics_of_parts
from prospero.evaluation.metrics.perplexity import PerplexityConfig
from prospero.evaluation.metrics.text_base import TextMetric
from prospero.evaluation.monitor import Monitor

LOSS = "loss"
"""Always measured: it tells a run that has diverged."""
EARLIER = {"loss": LossMetricConfig(), "perplexity": PerplexityConfig(), "bits_per_byte": BitsPerByteConfig()}
"""What runs measured before `metrics` was a setting."""


class Settings(Protocol):
    """Settings of a metric."""

    def build(self, facts: MetricFacts) -> TokenMetric | TextMetric:
        """Return the metric."""
        ...


def text_metrics_of(settings: Mapping[str, Settings] | None, outputs_dir: str = "outputs") -> dict[str, TextMetric]:
    """Return those of the chosen metrics that measure written texts, built; the data need not be prepared."""
    built = _built_without_data(settings, outputs_dir)
    return {name: metric for name, metric in built.items() if isinstance(metric, TextMetric)}


def pair_metrics(settings: Mapping[str, Settings] | None) -> list[str]:
    """Return the names of those of the chosen metrics that measure pairs of answers."""
    built = _built_without_data(settings, "outputs")
    return [name for name, metric in built.items() if isinstance(metric, TokenMetric) and metric.of_pairs]


def _built_without_data(
    settings: Mapping[str, Settings] | None, outputs_dir: str
) -> dict[str, TokenMetric | TextMetric]:
    facts = MetricFacts(token_bytes=np.ones(1, np.int32), seq_len=1, source_names=["text"], outputs_dir=outputs_dir)
    return {name: part.build(facts) for name, part in (settings or {}).items()}


def refuse_text_metrics(settings: Mapping[str, Settings] | None) -> None:
    """Raise ConfigError when metrics of written texts are chosen, for a host in which nothing writes any."""
    found = list(text_metrics_of(settings))
    if found:
        raise ConfigError(
            f"metrics=[...] names {', '.join(found)}, which measure texts that a model writes, and nothing writes any "
            "here; choose a task that does (evaluation.tasks=[...], or tasks=[...] of evaluate), or take them out"
        )


def check_monitor(name: str, settings: Mapping[str, Settings] | None, tasks: Iterable[str] = ()) -> None:
    """Raise ConfigError when no metric of these settings and no task measures `name`, whatever the data will be.

    Which parts a metric has may depend on the data (the loss of each source): `TokenMetrics.monitor` looks at them.
    """
    chosen = [LOSS, *(EARLIER if settings is None else settings), *tasks]
    known = [f"val/{measures}" for measures in dict.fromkeys(chosen)]
    if "/".join(name.split("/")[:2]) not in known:
        raise _not_measured(name, known)


def _not_measured(name: str, known: list[str]) -> ConfigError:
    return ConfigError(
        f"monitor={name} is not measured.{suggest(name, known)} Measured are {', '.join(known)}; choose more with "
        "metrics=[...], or with evaluation.tasks=[...]"
    )


def _published(name: str, parts: Sequence[str]) -> list[str]:
    return [f"val/{name}/{part}" for part in parts] or [f"val/{name}"]


class TokenMetrics(nn.Module):
    """Named metrics of tokens; `val/<name>`, or `val/<name>/<part>` for those that return several numbers."""

    def __init__(self, metrics: Mapping[str, TokenMetric]) -> None:
        super().__init__()
        chosen = metrics if LOSS in metrics else {LOSS: LossMetric(), **metrics}
        self.by_name = nn.ModuleDict(dict(chosen))

    @classmethod
    def build(cls, settings: Mapping[str, Settings] | None, facts: MetricFacts) -> "TokenMetrics":
        """Return the metrics of tokens among these settings; None stands for those of EARLIER.

        Those of texts are the business of whoever writes some: `text_metrics_of`, or else `refuse_text_metrics`.
        """
        chosen = EARLIER if settings is None else settings
        built = {name: part.build(facts) for name, part in chosen.items()}
        of_tokens = {name: metric for name, metric in built.items() if isinstance(metric, TokenMetric)}
        return cls(of_tokens | metrics_of_parts([*built], facts))

    @property
    def members(self) -> dict[str, TokenMetric]:
        """The metrics by name."""
        return {name: metric for name, metric in self.by_name.items() if isinstance(metric, TokenMetric)}

    def reset(self) -> None:
        """Begin the sums again."""
        for metric in self.members.values():
            metric.reset()

    def compute(self, split: str) -> dict[str, float]:
        """Return every number by the name under which it is published; a collective."""
        found: dict[str, float] = {}
        for name, metric in self.members.items():
            value, name = metric.compute(), metric.published or name
            if isinstance(value, dict):
                found |= {f"{split}/{name}/{part}": float(number) for part, number in value.items()}
            else:
                found[f"{split}/{name}"] = float(value)
        return {name: value for name, value in found.items() if not math.isnan(value) or name == f"{split}/{LOSS}"}

    def names(self) -> list[str]:
        """Return the names of all numbers of a validation."""
        return [
            name for key, metric in self.members.items() for name in _published(metric.published or key, metric.parts)
        ]

    def higher_is_better(self) -> list[str]:
        """Return the names, without their split, of the numbers of which the larger is the better."""
        names = [name.partition("/")[2] for name in self.names()]
        return [name for name in names if self.members[name.split("/")[0]].higher_is_better]

    def directions(self, tasks: Sequence[Measurement] = ()) -> dict[str, bool]:
        """Return each number by which a model is judged, of the metrics and of tasks -> whether larger is better."""
        found = {name: self.members[name.split("/")[1]].higher_is_better for name in self.names()}
        of_tasks = [(task.name, one) for task in tasks if task.judged for one in task.quantities]
        return found | {f"val/{task}/{one.name}": one.higher_is_better for task, one in of_tasks}

    def monitor(self, name: str, tasks: Sequence[Measurement] = ()) -> Monitor:
        """Return what watches the number `name`; ConfigError when no metric and no task of the run measures it."""
        of_tasks = {f"val/{task.name}/{number.name}": number for task in tasks for number in task.quantities}
        if name in of_tasks:
            return Monitor(name, higher_is_better=of_tasks[name].higher_is_better)
        if name not in self.names():
            raise _not_measured(name, [*self.names(), *of_tasks])
        return Monitor(name, higher_is_better=self.members[name.split("/")[1]].higher_is_better)
