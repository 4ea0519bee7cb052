"""The tasks and analyses of a run: built once, since they read their items."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prospero.checkpoints.source import Source
from prospero.data.prepare import PreparedData, find_prepared
from prospero.evaluation import analyses
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.measurement import Measurement
from prospero.evaluation.metrics.collection import EARLIER, text_metrics_of
from prospero.evaluation.tasks import base
from prospero.evaluation.tasks.base import TaskFacts
from prospero.training.callbacks.analysis import AnalysisConfig
from prospero.training.callbacks.evaluation import EvaluationConfig

if TYPE_CHECKING:
    from prospero.training.settings import TrainConfig


def evaluation_of(config: "TrainConfig") -> EvaluationConfig | None:
    """Return the settings of the callback that measures tasks, where it is chosen."""
    return next((part for part in config.callbacks.values() if isinstance(part, EvaluationConfig)), None)


def trained_before(config: "TrainConfig", source: Source | None) -> list[Path | None]:
    """Return the folders of what the models were trained on that the run begins from; None: not here."""
    return [find_prepared(config.data_dir, known) for known in (source.trained_on if source else ())]


def build_tasks(
    config: "TrainConfig", prepared: PreparedData, source: Source | None = None, *, document_ids: bool = False
) -> list[Measurement]:
    """Return the tasks that the callback `evaluation` measures; DataError or ConfigError where one cannot be built.

    `source` is where the model begins, which has been trained on something too. What a task draws does not depend on
    the run's seed: runs that differ in it are measured by the same items.
    """
    settings = evaluation_of(config)
    if settings is None:
        return []
    texts, chosen = (
        text_metrics_of(config.metrics, config.outputs_dir),
        EARLIER if config.metrics is None else config.metrics,
    )
    facts = TaskFacts(
        metrics=texts,
        token_metrics={name: part for name, part in chosen.items() if name not in texts},
        rewards=config.reward,
        validation=prepared.directory,
        trained_before=trained_before(config, source),
        tokenizer=prepared.tokenizer,
        seq_len=config.seq_len,
        document_ids=document_ids,
        limit=settings.limit,
        outputs_dir=config.outputs_dir,
    )
    return base.build_tasks(config.tasks, facts)


def build_analyses(
    config: "TrainConfig", prepared: PreparedData, description: Mapping[str, Any], run_dir: Path
) -> list[Measurement]:
    """Return what the callback `analysis` looks at; `description` says what the model is, as its checkpoints do."""
    settings = next((part for part in config.callbacks.values() if isinstance(part, AnalysisConfig)), None)
    if settings is None:
        return []
    facts = AnalysisFacts(
        tokenizer=prepared.tokenizer,
        model_kind=str(description["name"]),
        n_layers=description["settings"]["n_layers"],
        n_heads=description["settings"].get("n_heads"),
        seq_len=config.seq_len,
        data=prepared.directory,
        run=run_dir,
        limit=settings.limit,
        outputs_dir=config.outputs_dir,
        training=True,
    )
    return analyses.build_analyses(config.analyses, facts)
