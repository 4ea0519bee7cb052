"""Going back: to the newest checkpoint from before the trouble, and on from there with other data.

Each time is written to `rollbacks.json` in the run folder before anything else happens, so that a run that is killed
on the way, and continued, leaves out the same data. When it has been tried often enough the run stops and leaves a
`diagnosis.json`.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import lightning as L

from prospero.checkpoints import folders
from prospero.checkpoints.run_checkpoints import Checkpoint, RunCheckpoints
from prospero.data.training_data import TrainingData
from prospero.errors import DataError
from prospero.log import log
from prospero.paths import write_text
from prospero.runs.folder import RunFolder
from prospero.training.assembly import RunParts
from prospero.training.checkpoint_io import folder_strategy
from prospero.training.divergence import TrainingDiverged
from prospero.training.guards.settings import GuardsConfig
from prospero.training.guards.step_guard import StepRecord
from prospero.training.session import seed_everything

_DOCUMENTS_NAMED = 20

ADVICE = [
    "look at the documents named here; clean or drop them, and prepare the data again",
    "a lower optimizer.lr, a longer schedule.warmup_steps or a smaller trainer.max_grad_norm",
    "trainer.precision=bf16 instead of float16, or float32, when the gradient overflows",
    "continue from the last good checkpoint with the changed settings: resume=last",
]


@dataclass(slots=True)
class Target:
    """Where a run goes back to."""

    checkpoint: Checkpoint | None
    """None is the start of the run."""
    consumed_sequences: int = 0

    @property
    def step(self) -> int:
        """The step after which training goes on; 0 at the start."""
        return self.checkpoint.step if self.checkpoint is not None else 0


def fit(run: RunParts) -> RunParts:
    """Train to the end; when training diverges go back to a good checkpoint and on with other data.

    Returns the run that came to the end, its module and trainer made anew after each time. Raises TrainingDiverged when
    that does not help.
    """
    session = run.session
    checkpoint = session.checkpoint
    rollbacks = Rollbacks(session.folder, session.checkpoints, session.config.trainer.guards, checkpoint).read()
    run.data.skip(rollbacks.ranges)
    while True:
        run.module.state.rollbacks = len(rollbacks.records)
        folder_strategy(run.trainer).opened = checkpoint
        path = str(checkpoint.path) if checkpoint is not None else None
        try:
            run.trainer.fit(run.module, datamodule=run.data, ckpt_path=path, weights_only=True)
            break
        except TrainingDiverged as error:
            checkpoint = rollbacks.go_back(error, run)
        run.data.load_state_dict({"consumed_sequences": 0, "skipped": []})  # the checkpoint, if any, says more
        seed_everything(session.config.seed)
        run = run.rebuilt(begins=checkpoint is None)
    if run.module.state.validation_pending and not run.module.state.stopping_to_resume:
        run.trainer.validate(run.module, datamodule=run.data, verbose=False)
    return run


@dataclass(slots=True)
class Rollbacks:
    """The times a run has gone back, and the decision whether it does so again."""

    folder: RunFolder
    checkpoints: RunCheckpoints
    config: GuardsConfig
    start: Checkpoint | None = None
    """The checkpoint that the run was started from."""
    records: list[dict[str, Any]] = field(default_factory=list)

    def read(self) -> "Rollbacks":
        """Take up what the folder remembers of the run; DataError when the file is damaged."""
        path = self.folder.rollbacks
        if path.exists():
            try:
                self.records = list(json.loads(path.read_text(encoding="utf-8")))
            except ValueError as error:
                raise DataError(f"{path} is damaged ({error}); remove it to forget which data are left out") from error
        return self

    @property
    def ranges(self) -> list[list[int]]:
        """The positions of the training order that are left out, as [start, stop) pairs."""
        return [pair for record in self.records for pair in record["skipped_positions"]]

    def go_back(self, error: TrainingDiverged, run: RunParts) -> Checkpoint | None:
        """Return the checkpoint to continue from (None: the start), with the data since then left out; a collective.

        Raises TrainingDiverged, with a diagnosis in the run folder, when that has been done often enough.
        """
        guard, state = run.module.watch.guard, run.module.state
        first_bad = guard.first_bad_step or state.step + 1
        target = self._target(first_bad - 1, run.trainer)
        tried = self._times_at(target.step)
        documents = self._documents(run.data, guard.bad)
        if not guard.config.enabled or tried >= self.config.max_rollbacks:
            raise self._give_up(error, run, documents, tried) from None
        skipped = run.data.skipped.runs(target.consumed_sequences, state.sequences)
        run.data.skip(skipped)
        self.records.append(
            {
                "reason": str(error),
                "at_step": state.step,
                "to_step": target.step,
                "skipped_positions": skipped,
                "documents": documents,
            }
        )
        log.warning(
            "%s; going back to %s (%d of %d), leaving out %d sequences%s",
            error,
            f"step {target.step}" if target.step else "the start",
            tried + 1,
            self.config.max_rollbacks,
            sum(stop - start for start, stop in skipped),
            f"; the documents of the bad steps: {', '.join(documents)}" if documents else "",
        )
        if run.trainer.is_global_zero:
            self._forget_after(target.step)  # first: a run killed in between finds the trouble anew
            write_text(self.folder.rollbacks, json.dumps(self.records, indent=1) + "\n")
        return target.checkpoint

    def _forget_after(self, step: int) -> None:
        """Remove the checkpoints of the course that is given up."""
        for path in list(folders.folders_of(self.folder.checkpoints)):
            if path.name > folders.name_of_step(step):
                folders.remove_folder(path)

    def _times_at(self, step: int) -> int:
        """How often in a row the run has already gone back to `step`."""
        times = 0
        for record in reversed(self.records):
            if record["to_step"] != step:
                break
            times += 1
        return times

    def _target(self, last_good_step: int, trainer: L.Trainer) -> Target:
        """The newest whole checkpoint that is not younger than `last_good_step`; rank 0 looks."""
        found = Target(None)
        if trainer.is_global_zero:
            start = [self.start] if self.start is not None else []
            found = next(filter(None, (_usable(c, last_good_step) for c in [*self.checkpoints.all(), *start])), found)
        path = str(found.checkpoint.path) if found.checkpoint is not None else ""
        path, consumed = trainer.strategy.broadcast((path, found.consumed_sequences))
        if not path or found.checkpoint is not None:
            return found
        return Target(Checkpoint.open(path).trust(), consumed)

    def _documents(self, data: TrainingData, bad: Sequence[StepRecord]) -> list[str]:
        names: list[str] = []
        for record in bad:
            if record.terms:
                continue  # not the data's fault
            found = data.origins(record.first, record.last, _DOCUMENTS_NAMED)
            names += [name for name in found if name not in names]
        return names[:_DOCUMENTS_NAMED]

    def _give_up(self, error: TrainingDiverged, run: RunParts, documents: list[str], tried: int) -> TrainingDiverged:
        path, state, guard = self.folder.diagnosis, run.module.state, run.module.watch.guard
        diagnosis = {
            "reason": str(error),
            "step": state.step,
            "consumed_sequences": state.sequences,
            "consumed_tokens": state.tokens,
            "skipped_steps": guard.skipped,
            "median_loss": guard.median,
            "last_steps": [asdict(record) for record in guard.records],
            "documents": documents,
            "rollbacks": self.records,
            "advice": ADVICE,
        }
        if run.trainer.is_global_zero:
            write_text(path, json.dumps(_readable(diagnosis), indent=1) + "\n")
        times = f", also after going back {tried} times" if tried else ""
        return TrainingDiverged(
            f"{error}{times}; the last good checkpoint is kept, losses, documents and advice are in {path}"
        )


def _usable(checkpoint: Checkpoint, last_good_step: int) -> Target | None:
    if checkpoint.step > last_good_step:
        return None
    try:
        return Target(checkpoint, checkpoint.memory["consumed_sequences"])
    except DataError as error:
        log.warning("%s", error)
        return None


def _readable(value: Any) -> Any:
    """Plain values with what JSON has no number for (NaN, infinity) as text."""
    if isinstance(value, dict):
        return {name: _readable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_readable(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
