"""What of a run can be repeated, and the settings of its repetition; what cannot be is refused in one line."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prospero.errors import ConfigError, DataError
from prospero.runs.folder import RunFolder
from prospero.runs.usage import all_starts

if TYPE_CHECKING:
    from prospero.training.settings import TrainConfig


@dataclass(frozen=True, slots=True)
class Repeatable:
    """A run that can be repeated, as it lies in its folder."""

    folder: RunFolder
    config: "TrainConfig"
    environment: dict[str, Any]
    """What it ran on, see `runs.repetition.surroundings`."""
    rows: list[dict[str, str]]
    """Its metrics.csv."""
    last_step: int
    """The last step that it took, as far as is known."""
    ended: str | None
    """Why it ended, in the words of its result; None when it did not come to its end."""
    fingerprint: str | None
    """That of its prepared data; None when nothing of the run says it."""

    @property
    def ends_by_itself(self) -> bool:
        """Whether the same settings end after the same step; not by the clock, a pruner, a signal or a kill."""
        return self.ended is not None and not re.match("max_minutes|pruned|interrupted|STOP", self.ended)

    def until(self, steps: int | None) -> int | None:
        """Return the step after which its repetition is to end; None where it ends by itself.

        Raises ConfigError for more `steps` than the run has taken.
        """
        if steps is not None and steps > self.last_step:
            raise ConfigError(
                f"steps={steps} is more than the {self.last_step} steps that {self.folder.path} has taken"
            )
        if steps is None or steps == self.last_step:
            return None if self.ends_by_itself else self.last_step
        return steps


def open_repeatable(path: Path) -> Repeatable:
    """Read the run in `path`; ConfigError or DataError, in one line, for one that cannot be repeated."""
    from prospero.configuration.compose import compose_file
    from prospero.processes.run_lock import RunLock
    from prospero.runs.metrics import read_metrics
    from prospero.runs.repetition.surroundings import read_environment
    from prospero.runs.result import read_result
    from prospero.training.settings import TrainConfig

    run = RunFolder(path)
    if not run.config.is_file():
        raise DataError(f"{path} is no run: it has no {run.config.name}; give the folder or the name of a run")
    if run.lock.exists():
        RunLock(path).take().release()  # refuses where a process still trains in it
    rows, result = read_metrics(run.metrics), read_result(path)
    if not rows:
        raise DataError(f"{run.metrics} has no row, so there is nothing to compare a repetition with")
    _refuse_resumed(run)
    config = compose_file(run.config)
    if type(config) is not TrainConfig:
        raise ConfigError(f"{run.config} is no training run's; give one that python train.py has made")
    last = max(int(row["step"]) for row in rows)
    found = Repeatable(
        folder=run,
        config=config,
        environment=read_environment(run),
        rows=rows,
        last_step=int(result.get("steps", last)),
        ended=result.get("stop_reason"),
        fingerprint=_fingerprint(run),
    )
    _refuse_clock(found)
    if _hardware(found).get("num_nodes", config.trainer.num_nodes) > 1:
        raise ConfigError(f"{path} ran on several machines, and a repetition starts its processes on this one alone")
    return found


def repetition_of(run: Repeatable, until: int | None) -> "TrainConfig":
    """Return the settings of the repetition, which ends after step `until`.

    They are those of the run with its processes, its precision and the source it began from as they were found then.
    Loggers other than metrics.csv take no part. Raises ConfigError or DataError where a source is gone or changed.
    """
    from prospero.training.callbacks.repetition import RepetitionConfig
    from prospero.training.horizon import UNLIMITED_STEPS
    from prospero.training.trainer import Accelerator, Precision

    config, used = run.config, _hardware(run)
    by_clock = config.max_minutes is not None
    others = (config.max_steps, config.max_tokens, config.max_flops)
    horizon = str(run.folder.horizon.resolve()) if by_clock and run.folder.horizon.is_file() else None
    trainer = config.trainer
    if used:
        trainer = replace(
            trainer,
            devices=int(used["devices"]),
            accelerator=Accelerator[used["accelerator"]],
            precision=Precision[used["precision"]],
        )
    callbacks = dict(config.callbacks)
    if until is not None or horizon is not None:
        callbacks["repetition"] = RepetitionConfig(until_step=until, horizon=horizon)
    return replace(
        config,
        trainer=trainer,
        callbacks=callbacks,
        logger={},
        run_dir=None,
        resume=None,
        max_minutes=None,
        max_steps=UNLIMITED_STEPS if by_clock and not any(others) else config.max_steps,
        init_from=_source(run.folder.init_from, config.init_from),
        loss=_with_teacher(run),
    )


def _hardware(run: Repeatable) -> Mapping[str, Any]:
    """What the run used of its machine; empty for a run of before it was written down."""
    return run.environment.get("hardware") or {}


def threads_of(run: Repeatable) -> int | None:
    """Return the threads of each of its processes; None where they are not known or the settings say them."""
    return None if run.config.trainer.num_threads is not None else _hardware(run).get("threads")


def _refuse_resumed(run: RunFolder) -> None:
    went_on = [start.from_step for start in all_starts(run) if start.from_step]
    if went_on:
        raise ConfigError(
            f"{run.path} was resumed at step {went_on[0]}, perhaps with other settings or on another machine, of which "
            "its files keep the last ones only; a run that came to its end at once can be repeated"
        )
    try:
        text = run.log.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    found = re.search(r"continuing from (\S+)", text)
    if found:
        raise ConfigError(
            f"{run.path} was resumed from {found[1]}, perhaps with other settings or on another machine, of which "
            "its files keep the last ones only; a run that came to its end at once can be repeated"
        )


def _refuse_clock(run: Repeatable) -> None:
    """A schedule that followed the clock can be repeated only by the estimates of then."""
    if run.config.max_minutes is None or run.folder.horizon.is_file() or _hardware(run):
        return
    raise ConfigError(
        f"{run.folder.path} had max_minutes={run.config.max_minutes:g}, so its schedule followed the clock, and its "
        f"version of Prospero kept no {run.folder.horizon.name} of that; it cannot be repeated"
    )


def _source(receipt: Path, given: str | None) -> str | None:
    """Return where the run's first weights lie; `last` may be another run by now."""
    from prospero.commands.init_from import remembered

    if given is None or not receipt.is_file():
        return given
    source = remembered(receipt, given, "init_from")
    _check_there(source, f"init_from={given}")
    return os.path.abspath(source.path)


def _check_there(source: Any, setting: str) -> None:
    if not os.path.isdir(source.path):
        raise ConfigError(
            f"{setting} of the run was {source.path}, which is gone; without it the run cannot be repeated"
        )
    try:
        source.weights()
    except DataError as error:
        raise ConfigError(f"{setting} of the run cannot be had again: {error}") from error


def _with_teacher(run: Repeatable) -> dict[str, Any]:
    """Return the losses of the run with its teacher named by the folder that it lay in."""
    from prospero.commands.init_from import remembered
    from prospero.training.distillation.teaching import distillation

    loss = distillation(run.config)
    if loss is None or loss.teacher is None or not run.folder.teacher.is_file():
        return run.config.loss
    source = remembered(run.folder.teacher, loss.teacher, "loss.distill.teacher")
    _check_there(source, f"loss.distill.teacher={loss.teacher}")
    named = replace(loss, teacher=os.path.abspath(source.path))
    return {name: named if part is loss else part for name, part in run.config.loss.items()}


def _fingerprint(run: RunFolder) -> str | None:
    """Return that of the run's prepared data, from the first of its files that has one."""
    import json

    places = [(run.environment, "data_fingerprint"), (run.receipt, "fingerprint")]
    for file, name in places:
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(found, dict) and found.get(name):
            return str(found[name])
    from prospero.checkpoints.run_checkpoints import RunCheckpoints

    newest = RunCheckpoints(run.checkpoints).last()
    return None if newest is None else newest.memory.get("data_fingerprint")
