"""Analyses while a model learns: its inside as curves beside the loss, and a picture for each measured step."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning as L

from prospero.errors import ConfigError
from prospero.evaluation.measurement import Measured
from prospero.log import log
from prospero.runs.figures import canvas, save
from prospero.runs.folder import RunFolder
from prospero.training.callbacks.evaluation import Evaluation, EvaluationConfig
from prospero.training.callbacks.samples import is_sharded
from prospero.training.loggers import log_picture
from prospero.training.run_facts import RunFacts


@dataclass(kw_only=True, slots=True)
class AnalysisConfig:
    """Numbers of the analyses in `analyses`, as val/<analysis>/<number>, to metrics.csv, the loggers and the report."""

    every_steps: int = 250
    """Optimiser steps between analyses; where no validation falls on such a step, one is made."""
    at_end: bool = True
    """Analyse the last step too, whichever it is."""
    limit: int | None = None
    """Items of an analysis at most, unless its own `limit` says otherwise; null: what it has by itself in training."""
    rows: int = 16
    """Items that are worked on side by side; numbers do not depend on it but for the rounding of products."""
    pictures: bool = True
    """Draw a picture for each measured step, into the run's analyses/ and to the loggers that take pictures."""

    def __post_init__(self) -> None:
        for name in ("every_steps", "limit", "rows"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"callbacks.analysis.{name}={value} must be at least 1")

    def build(self, run: RunFacts) -> "AnalysisInTraining":
        """Return the callback, whose pictures are in `<run_dir>/analyses/`."""
        return AnalysisInTraining(self, run)


class AnalysisInTraining(Evaluation):
    """Does the run's analyses at the beginning of a validation, as `Evaluation` measures its tasks."""

    SECONDS = "analysis/seconds"
    """The number under which it is published what the analyses of a validation took."""

    def __init__(self, config: AnalysisConfig, run: RunFacts) -> None:
        usual = EvaluationConfig(every_steps=config.every_steps, at_end=config.at_end, rows=config.rows)
        super().__init__(usual, run)
        self.measurements, self.pictures = run.analyses, config.pictures

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """See that every analysis can be done of a model that is spread as this one; see `Evaluation`."""
        for one in self.measurements:
            if one.one_process and is_sharded(trainer):
                raise ConfigError(
                    f"analyses.{one.name} needs the whole model in one process, and this run spreads it; leave it out, "
                    f"and look at the checkpoints afterwards: prospero analyse run=... analyses=[{one.name}]"
                )
        super().on_train_start(trainer, pl_module)

    def _show(self, found: Sequence[Measured], trainer: L.Trainer) -> None:
        """Draw what the analyses draw; a picture that cannot be written costs no step."""
        if not self.pictures:
            return
        for measured in found:
            drawn = canvas(9.0, 5.0)
            if not measured.measurement.draw(measured, drawn):
                continue
            path = RunFolder(self.run.run_dir).analyses / f"{measured.name}_step_{trainer.global_step:08d}.png"
            try:
                path.parent.mkdir(exist_ok=True)
                save(drawn, path)
            except OSError as error:
                log.warning("%s could not be written (%s)", path.name, error.strerror or error)
                continue
            log_picture(trainer.loggers, f"analysis/{measured.name}", Path(path), trainer.global_step)
