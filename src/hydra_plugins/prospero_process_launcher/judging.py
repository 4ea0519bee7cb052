"""Which number the jobs of a sweep are judged by, and which way it is better, known before the first job starts."""

from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig

from prospero.errors import ConfigError, suggest

ALWAYS_MEASURED = "loss"
EARLIER = ("loss", "perplexity", "bits_per_byte")
"""What runs measure whose settings are of before `metrics`."""
LOWER_IS_BETTER = frozenset(EARLIER)
"""Metrics of which it is known without asking their class, whose import takes seconds."""


def monitor_of(configs: Sequence[DictConfig]) -> str:
    """Return the monitor that all jobs share; ConfigError when they differ, or when a job does not measure it."""
    found = sorted({str(cfg.monitor) for cfg in configs})
    if len(found) > 1:
        raise ConfigError(
            f"the jobs are judged by different numbers (monitor={','.join(found)}) and cannot be compared; "
            "give one monitor"
        )
    for cfg in configs:
        _check_measured("monitor", found[0], cfg)
    return found[0]


def direction_of(setting: str, name: str, configs: Sequence[DictConfig]) -> str:
    """Return `minimize` or `maximize` for the number `name` of a validation or a test, as its metric says.

    ConfigError, which begins with `setting`, when a job does not measure it.
    """
    for cfg in configs:
        _check_measured(setting, name, cfg)
    metric = metric_of(name)
    if metric in LOWER_IS_BETTER:
        return "minimize"
    from prospero.configuration.composition import typed

    if metric in configs[0].tasks:
        return _direction_of_task(setting, name, configs[0])
    import numpy as np

    from prospero.evaluation.metrics.base import MetricFacts

    # The text is not prepared yet; which way is better does not depend on it.
    facts = MetricFacts(token_bytes=np.ones(256, np.int32), seq_len=int(configs[0].seq_len), source_names=["text"])
    settings: Any = typed(configs[0].metrics)[metric]
    return "maximize" if settings.build(facts).higher_is_better else "minimize"


def _direction_of_task(setting: str, name: str, cfg: DictConfig) -> str:
    """Return the direction of `val/<task>/<number>`, for which the task's items are read.

    Given text is not prepared yet: what the task `text` measures of it are the metrics of tokens.
    """
    from prospero.configuration.composition import typed
    from prospero.evaluation.metrics.collection import text_metrics_of
    from prospero.evaluation.tasks.base import TaskFacts
    from prospero.evaluation.tasks.text import TextConfig, quantities_of

    _, task, number = (*name.split("/", 2), "")[:3]
    metrics: Any = {key: typed(node) for key, node in (cfg.metrics or {}).items()}
    texts = text_metrics_of(metrics, cfg.outputs_dir)
    settings = typed(cfg.tasks)[task]
    if isinstance(settings, TextConfig):
        found = quantities_of({key: part for key, part in metrics.items() if key not in texts}, int(cfg.seq_len))
    else:
        facts = TaskFacts(metrics=texts, limit=1, outputs_dir=cfg.outputs_dir)
        found = settings.build(task, facts).quantities
    known = {quantity.name: quantity for quantity in found}
    if number not in known:
        numbers = [f"val/{task}/{other}" for other in known]
        raise ConfigError(
            f"{setting}={name} is not measured.{suggest(name, numbers)} {task} measures {', '.join(numbers)}"
        )
    return "maximize" if known[number].higher_is_better else "minimize"


def metric_of(name: str) -> str | None:
    """Return the metric or task that measures `val/<metric>`, `test/<metric>` or a part of it; None for any other."""
    split, _, rest = name.partition("/")
    return rest.partition("/")[0] if split in ("val", "test") else None


def _check_measured(setting: str, name: str, cfg: DictConfig) -> None:
    chosen = EARLIER if cfg.metrics is None else cfg.metrics
    measured = list(dict.fromkeys([ALWAYS_MEASURED, *(str(key) for key in (*chosen, *cfg.tasks))]))
    if metric_of(name) not in measured:
        known = [f"val/{metric}" for metric in measured]
        raise ConfigError(
            f"{setting}={name} is not measured.{suggest(name, known)} Measured are {', '.join(known)}; choose more "
            "with metrics=[...], or with evaluation.tasks=[...]"
        )
