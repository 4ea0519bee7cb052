"""Ends a run of a search when others did better with as many tokens: successive halving by Optuna's pruners.

Not a setting: the sweep tells a job by an environment variable that it is a trial. The first rank alone reads and
writes the study's journal; all ranks stop together after the validation that they have just done together.
"""

from typing import TYPE_CHECKING, Any

import lightning as L

from prospero.evaluation.monitor import Monitor
from prospero.log import log
from prospero.processes import ranks
from prospero.runs.result import Status
from prospero.sweeps.study import TRIAL_VARIABLE, trial_of_environment
from prospero.training.callbacks.base import StepCallback
from prospero.training.module import TrainingModule

if TYPE_CHECKING:
    import optuna

    from prospero.sweeps.study import StudySettings


class Pruning(StepCallback):
    """Reports every validation against the training tokens seen, and stops all ranks when the pruner says so."""

    def __init__(
        self, trial: "optuna.trial.Trial | None", settings: "StudySettings | None", monitor: Monitor | None = None
    ) -> None:
        self.trial, self.settings = trial, settings
        self.monitor = monitor or Monitor()
        self.pruned = False

    def on_validated(self, trainer: L.Trainer, module: TrainingModule) -> None:
        """Report, and ask the trainer to stop after this step when the trial is behind."""
        state = module.state
        value = state.metrics.get(self.monitor.name)
        if value is None:
            return
        last = trainer.global_step >= trainer.max_steps or trainer.should_stop
        prune = self._report(state.metrics, state.tokens) and not last
        self.pruned = bool(trainer.strategy.broadcast(prune))
        if self.pruned:
            trainer.should_stop = True
            state.stop_reason = (
                f"pruned: after {state.tokens:,} tokens other trials were better than {self.monitor.name} {value:.4f}"
            )
            log.info("%s", state.stop_reason)

    def _report(self, metrics: dict[str, float], tokens: int) -> bool:
        """Write the validation into the journal and return whether the pruner ends the trial; the first rank only."""
        if self.trial is None or self.settings is None:
            return False
        asked = self.settings.metric  # what is known at the end only cannot be watched; the monitor stands for it
        value = metrics.get(asked if asked is not None and asked.startswith("val/") else self.monitor.name)
        if value is None:
            return False  # nothing was measured, as of text without bytes
        known = self.trial.study.get_trials(deepcopy=False)[self.trial.number].intermediate_values
        if tokens not in known:  # a resumed trial may have reported this validation before
            self.trial.report(value, step=tokens)
        return self.trial.should_prune()

    def result(self) -> dict[str, Any]:
        """Return what the run's result file says about it."""
        return {"status": Status.pruned.value} if self.pruned else {}


def from_environment(monitor: Monitor) -> list[Pruning]:
    """Return the callback when this run is a trial of a search, on every rank; the journal is opened by the first."""
    import os

    if TRIAL_VARIABLE not in os.environ:
        return []
    found = trial_of_environment() if ranks.is_rank_zero() else None
    return [Pruning(*(found or (None, None)), monitor)]
