"""What the settings of a task are built with, and how a task finds the metrics it names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from prospero import registry
from prospero.data.retrieval import Retrieval
from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.errors import ConfigError, suggest
from prospero.evaluation.measurement import Measurement
from prospero.evaluation.metrics.base import MetricFacts
from prospero.evaluation.metrics.collection import Settings as TokenMetricSettings
from prospero.evaluation.metrics.text_base import TextMetric
from prospero.evaluation.rewards.parts import RewardSettings
from prospero.evaluation.tasks.parts import TaskSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFacts:
    """The second argument of every task's `build`: what its host knows."""

    metrics: Mapping[str, TextMetric] = field(default_factory=dict)
    """Metrics of texts chosen with `metrics=[...]`, with their settings: every task that writes is measured by them,
    and a task that names one of them itself takes these settings."""
    token_metrics: Mapping[str, TokenMetricSettings] = field(default_factory=dict)
    """Settings of the metrics of tokens chosen with `metrics=[...]`, for tasks that read given text."""
    rewards: Mapping[str, RewardSettings] = field(default_factory=dict)
    """What the completions of the model in training are rewarded for, by the settings of the run."""
    validation: Path | None = None
    """The folder of the prepared data that the model was trained on, where they are there."""
    trained_before: Sequence[Path | None] = ()
    """Those of the models that it was made from by `init_from`, the first one first; None where they are not there."""
    tokenizer: Tokenizer | None = None
    """The model's, known before its weights are read."""
    seq_len: int | None = None
    """Tokens of a sequence in the model's training, or those that it reads at once; None where it is not known."""
    document_ids: bool = False
    """Whether the model tells documents apart that stand in one sequence."""
    seed: int = 1
    """Of whatever a task draws: which items, which examples."""
    limit: int | None = None
    """Items a task has at most, unless its own `limit` says otherwise; None: all."""
    outputs_dir: str = "outputs"
    """The folder that holds the runs: a metric may score with a model of one."""
    retrieval: Retrieval | None = None
    """What puts facts before the prompts of tasks that write; None: nothing does."""


def build_tasks(settings: Mapping[str, TaskSettings], facts: TaskFacts) -> list[Measurement]:
    """Return the tasks with their items read; ConfigError for one without items, and for a metric that none uses."""
    tasks = [part.build(name, facts) for name, part in settings.items()]
    measured_names = {quantity.name for task in tasks for quantity in task.quantities}
    for name, metric in facts.metrics.items():
        if not measured_names & {quantity.name for quantity in metric.quantities}:
            raise ConfigError(
                f"metrics.{name} scores written texts, and none of the tasks {', '.join(settings)} writes any; "
                "choose a task that does, or leave it out"
            )
    if facts.retrieval is not None and not any(task.reads_retrieval for task in tasks):
        raise ConfigError(
            f"retrieval= puts facts before prompts, and none of the tasks {', '.join(settings)} has any; choose a task "
            "that writes, or tasks=[facts], or leave it out"
        )
    for task in tasks:
        if task.size == 0:
            raise ConfigError(f"tasks.{task.name} has no item to measure")
    return tasks


def text_metrics(names: Sequence[str], facts: TaskFacts) -> list[TextMetric]:
    """Return the metrics of texts called `names` and those that the host adds; ConfigError when one is none."""
    wanted = list(dict.fromkeys([*names, *facts.metrics]))
    return [facts.metrics[name] if name in facts.metrics else _by_default(name, facts.outputs_dir) for name in wanted]


def _by_default(name: str, outputs_dir: str) -> TextMetric:
    known = registry.names("metrics")
    if name not in known:
        raise ConfigError(f"There is no metric '{name}'.{suggest(name, known)}")
    facts = MetricFacts(token_bytes=np.zeros(0, np.int32), seq_len=1, outputs_dir=outputs_dir)
    metric = registry.config_class("metrics", name)().build(facts)
    if not isinstance(metric, TextMetric):
        raise ConfigError(f"'{name}' measures tokens, not written texts; it stands in metrics= of a run")
    return metric
