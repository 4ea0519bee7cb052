"""Going back: to the newest checkpoint from before the trouble, and on from there with other data.

Each time is written to `rollbacks.json` in the run folder before anything else happens, so that a run that is killed
on the way, and continued, leaves out the same data. When it has been tried often enough the run stops and leaves a
`diagnosis.json`.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from prospero.checkpoints import folders
from prospero.checkpoints.run_checkpoints import read_checkpoint
from prospero.errors import DataError
from prospero.log import log
from prospero.paths import write_text
from prospero.training.divergence import TrainingDiverged
from prospero.training.guards.settings import GuardsConfig
from prospero.training.guards.step_guard import StepRecord

FILE = "rollbacks.json"
DIAGNOSIS = "diagnosis.json"
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

    checkpoint: Path | None
    """None is the start of the run."""
    step: int = 0
    consumed_sequences: int = 0


@dataclass(slots=True)
class Rollbacks:
    """The times a run has gone back, and the decision whether it does so again."""

    folder: Path
    config: GuardsConfig
    start: Path | None = None
    """The checkpoint that the run was started from."""
    share: Callable[[Any], Any] = lambda value: value
    """Returns rank 0's value on every rank; a collective."""
    records: list[dict[str, Any]] = field(default_factory=list)

    def read(self) -> "Rollbacks":
        """Take up what the folder remembers of the run; DataError when the file is damaged."""
        path = self.folder / FILE
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

    def go_back(self, error: TrainingDiverged, module: Any, data: Any) -> Path | None:
        """Return the checkpoint to continue from (None: the start), with the data since then left out; a collective.

        Raises TrainingDiverged, with a diagnosis in the run folder, when that has been done often enough.
        """
        guard = module.guard
        first_bad = guard.first_bad_step or module.counted_step + 1
        target = self._target(first_bad - 1)
        tried = self._times_at(target.step)
        documents = self._documents(module, guard.bad)
        if not guard.config.enabled or tried >= self.config.max_rollbacks:
            raise self._give_up(error, module, documents, tried) from None
        skipped = data.skipped.runs(target.consumed_sequences, module.consumed_sequences)
        data.skip(skipped)
        self.records.append(
            {
                "reason": str(error),
                "at_step": module.counted_step,
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
        if module.trainer.is_global_zero:
            self._forget_after(target.step)  # first: a run killed in between finds the trouble anew
            write_text(self.folder / FILE, json.dumps(self.records, indent=1) + "\n")
        return target.checkpoint

    def _forget_after(self, step: int) -> None:
        """Remove the checkpoints of the course that is given up."""
        for path in list(folders.folders_of(self.folder / "checkpoints")):
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

    def _target(self, last_good_step: int) -> Target:
        """The newest whole checkpoint that is not younger than `last_good_step`; rank 0 looks."""
        from prospero.processes import ranks

        found: dict[str, Any] = {}
        if ranks.is_rank_zero():
            candidates = [
                path
                for path in folders.folders_of(self.folder / "checkpoints")
                if path.name <= folders.name_of_step(last_good_step)
            ] + ([self.start] if self.start is not None else [])
            found = next((facts for path in candidates if (facts := _usable(path, last_good_step))), {})
        found = self.share(found)
        if not found:
            return Target(None)
        return Target(Path(found["path"]), found["step"], found["consumed_sequences"])

    def _documents(self, module: Any, bad: Sequence[StepRecord]) -> list[str]:
        names: list[str] = []
        for record in bad:
            names += [name for name in module.documents(record, limit=_DOCUMENTS_NAMED) if name not in names]
        return names[:_DOCUMENTS_NAMED]

    def _give_up(self, error: TrainingDiverged, module: Any, documents: list[str], tried: int) -> TrainingDiverged:
        path = self.folder / DIAGNOSIS
        diagnosis = {
            "reason": str(error),
            "step": module.counted_step,
            "consumed_sequences": module.consumed_sequences,
            "consumed_tokens": module.consumed_tokens,
            "skipped_steps": module.guard.skipped,
            "median_loss": module.guard.median,
            "last_steps": [asdict(record) for record in module.guard.records],
            "documents": documents,
            "rollbacks": self.records,
            "advice": ADVICE,
        }
        if module.trainer.is_global_zero:
            write_text(path, json.dumps(_readable(diagnosis), indent=1) + "\n")
        times = f", also after going back {tried} times" if tried else ""
        return TrainingDiverged(
            f"{error}{times}; the last good checkpoint is kept, losses, documents and advice are in {path}"
        )


def _usable(path: Path, last_good_step: int) -> dict[str, Any] | None:
    try:
        memory = read_checkpoint(path, lazy=True)["prospero"]
    except DataError as error:
        log.warning("%s", error)
        return None
    if memory["step"] > last_good_step:
        return None
    return {"path": str(path), "step": memory["step"], "consumed_sequences": memory["consumed_sequences"]}


def _readable(value: Any) -> Any:
    """Plain values with what JSON has no number for (NaN, infinity) as text."""
    if isinstance(value, dict):
        return {name: _readable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_readable(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
