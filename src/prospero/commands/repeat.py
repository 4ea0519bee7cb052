"""`repeat`: a run again from its own folder; is it the same digit for digit, and if not, where and perhaps why."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from prospero.errors import ConfigError, DataError, Interrupted, ProsperoError

if TYPE_CHECKING:
    from prospero.commands.repeatable import Repeatable
    from prospero.runs.folder import RunFolder
    from prospero.runs.repetition.digits import WeightsCompared
    from prospero.runs.repetition.verdict import Verdict
    from prospero.training.settings import TrainConfig

DIFFERS = 1
"""Exit code of a repetition that came out otherwise."""
LEAVE_SECONDS = 60.0
"""How long a repetition that is interrupted may take to save and leave."""

EXAMPLES = [
    ("prospero repeat run=last", "the newest run, whole"),
    ("prospero repeat run=outputs/train/a steps=20", "its first 20 steps, with the schedule of the whole run"),
]


class Code(Enum):
    """Which code trains."""

    now = "now"
    then = "then"


@dataclass(kw_only=True, slots=True)
class RepeatConfig:
    """Which run is repeated, how far, and where."""

    run: str = "last"
    """The run: last, its name, or its folder."""
    steps: int | None = None
    """Repeat the first so many optimiser steps only; null: all that the run took."""
    code: Code = Code.now
    """now: that of the clone as it stands. then: the run's commit, checked out for a while with the changes in its
    code.diff, which are executed: for runs that you trust."""
    run_dir: str | None = None
    """Folder of the repetition; without one a new one beside the runs, <outputs_dir>/train/<date>_<time>_<name>_repeat,
    where outputs_dir is that of the run's own settings."""
    outputs_dir: str = "outputs"
    """Folder in which the run is looked for by its name."""
    plugins: list[str] = field(default_factory=list)
    """Python modules of your own; those that the run names in its config.yaml are imported anyway."""
    traceback: bool = False
    """Show the full traceback of an error."""

    def __post_init__(self) -> None:
        for name in ("run", "run_dir", "outputs_dir"):
            if (value := getattr(self, name)) is not None and not value.strip():
                raise ConfigError(f"{name}= is empty; give its name, or leave it out")
        if self.steps is not None and self.steps < 1:
            raise ConfigError(f"steps={self.steps} is not possible; give 1 or more, or leave it out for the whole run")


def repeat(config: RepeatConfig) -> int:
    """Repeat the run, compare, and say what came of it; return 0 when every digit is the same, else 1.

    A repetition that is broken off returns what it left with, 128 + the signal.
    """
    from prospero import log as logging_setup
    from prospero.commands.repeatable import open_repeatable, repetition_of
    from prospero.log import log
    from prospero.paths import write_text
    from prospero.processes import ranks
    from prospero.runs import find
    from prospero.runs.folder import RunFolder

    logging_setup.configure()
    if ranks.launched_externally():
        raise ConfigError("repeat starts the processes of the run itself; call it with plain python, without torchrun")
    run = open_repeatable(find.find(config.run, config.outputs_dir))
    until = run.until(config.steps)
    settings = repetition_of(run, until)
    _check_data(run)
    settings = replace(settings, name=f"{run.config.run_name()}_repeat")
    with _code(config.code, run) as code:
        place = find.create(settings.outputs_dir, config.run_dir, settings.run_name(), resume=False)
        log.info("repeating %s, %d steps, in %s", run.folder.path, until or run.last_step, place)
        new = RunFolder(place)
        left_with = _train(_text(run, replace(settings, run_dir=str(place)), code), code, run, new)
    verdict = compared(run, new, until, left_with)
    write_text(new.repetition, json.dumps(verdict.plain(), indent=1) + "\n")
    print(verdict.text())
    return left_with if left_with > 128 else 0 if verdict.equal else DIFFERS


@contextmanager
def _code(asked: Code, run: "Repeatable") -> Iterator[Path]:
    """Yield where Python finds the code that trains; say where it is another than the run's."""
    from prospero.commands.code_of_then import HERE, code_of_then, same_code
    from prospero.log import log
    from prospero.runs.repetition.surroundings import environment_now

    same = same_code(run.folder, environment_now())
    if asked is Code.now or same:
        if same is False:
            log.warning("the code is another than then; code=then trains with that of then (see docs/REPEAT.md)")
        yield HERE
        return
    with code_of_then(run.folder) as place:
        yield place


def _text(run: "Repeatable", settings: "TrainConfig", code: Path) -> str:
    """Return the config.yaml that the repetition is trained by, in the words of the code that trains."""
    from prospero.commands.code_of_then import HERE, changed_text
    from prospero.configuration.written import rerunnable

    return rerunnable(settings) if code == HERE else changed_text(run.folder.config, run.config, settings)


def _check_data(run: "Repeatable") -> None:
    """Prepare the data, where they are not there yet; ConfigError when they are others than then."""
    from prospero.data.mixture.preparation import prepare
    from prospero.log import log

    found = prepare(run.config).fingerprint
    if run.fingerprint is None:
        log.warning("nothing of the run says what its data were, so they are not compared; they are %s now", found[:12])
    elif run.fingerprint != found:
        raise ConfigError(
            f"the data are others than then: fingerprint {run.fingerprint[:12]} -> {found[:12]}; a repetition needs "
            "the text of then (the folder of then, or the Python whose library it was)"
        )


def _train(config: str, code: Path, run: "Repeatable", new: "RunFolder") -> int:
    """Train as `python train.py` does by the text of a `config`, in a process of its own, and return its exit code.

    Raises ProsperoError where it ended before its first step; the folder is gone then.
    """
    from prospero.commands.repeatable import threads_of
    from prospero.processes import signals
    from prospero.runs.folder import RunFolder

    paths = [str(code), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), signals.STARTED_BY: str(os.getpid())}
    if (threads := threads_of(run)) is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    with tempfile.TemporaryDirectory(prefix="prospero-repeat-") as folder:
        file = RunFolder(Path(folder)).config
        file.write_text(config, encoding="utf-8")
        if run.folder.numerics.is_file():
            shutil.copyfile(run.folder.numerics, new.numerics)  # a machine of its kind takes the choice as it is
        words = [sys.executable, "-m", "prospero", "train", "--config-dir", folder, "--config-name", file.stem]
        with signals.watched():
            child = subprocess.Popen(words, env=environment)
            signals.watch.children.append(child)
            try:
                left_with = _wait(child)
            finally:
                child.kill()
    if not new.metrics.is_file():
        new.numerics.unlink(missing_ok=True)
        if new.path.is_dir() and not any(new.path.iterdir()):
            new.path.rmdir()
        raise ProsperoError(
            f"the repetition ended with exit code {left_with} before its first row, for the reason that it says above"
        )
    return left_with if left_with >= 0 else 128 - left_with


def _wait(child: "subprocess.Popen[bytes]") -> int:
    """Return what the process leaves with; one that is interrupted may save first, and is killed if that takes long."""
    try:
        return child.wait()
    except Interrupted:
        try:
            return child.wait(LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait()


def compared(run: "Repeatable", new: "RunFolder", until: int | None, code: int = 0) -> "Verdict":
    """Compare a run with its repetition in `new`, which was to end after step `until` and left with `code`."""
    from prospero.runs.metrics import read_metrics
    from prospero.runs.repetition.digits import compare_rows
    from prospero.runs.repetition.surroundings import differences, read_environment
    from prospero.runs.repetition.verdict import Verdict

    rows = read_metrics(new.metrics)
    weights = _weights(run.folder, new, until or run.last_step, whole=until is None or until == run.last_step)
    if code and rows:  # it was broken off, or diverged: judged as far as it came
        until = min(until or run.last_step, int(rows[-1]["step"]))
    return Verdict(
        of=run.folder.path,
        place=new.path,
        digits=compare_rows(run.rows, rows, until=until),
        weights=weights,
        no_weights=f"the two have none of step {until or run.last_step} in common",
        surroundings=differences(run.environment, read_environment(new)),
        notes=_notes(run),
        exit_code=code,
    )


def _weights(old: "RunFolder", new: "RunFolder", step: int, *, whole: bool) -> "list[WeightsCompared]":
    """Compare those of model/, when the `whole` run was repeated, and those of the checkpoints of `step`."""
    from prospero.checkpoints.equality import compare_weights
    from prospero.checkpoints.model_folder import MODEL_FILE
    from prospero.checkpoints.reading import tensors_of_file
    from prospero.checkpoints.run_checkpoints import RunCheckpoints

    found = []
    files = [run.model / MODEL_FILE for run in (old, new)]
    if whole and all(file.is_file() for file in files):
        found.append(compare_weights("weights of model/", *map(tensors_of_file, files)))
    of_step = [next((c for c in RunCheckpoints(run.checkpoints).all() if c.step == step), None) for run in (old, new)]
    if all(of_step):
        states = [checkpoint.model_state() for checkpoint in of_step if checkpoint is not None]
        found.append(compare_weights(f"weights of step {step}", *states))
    return found


def _notes(run: "Repeatable") -> list[str]:
    """Return what besides the surroundings may have moved a digit."""
    from prospero.checkpoints.model_folder import verify_model_folder
    from prospero.checkpoints.run_checkpoints import RunCheckpoints
    from prospero.configuration import written
    from prospero.plain import plain
    from prospero.training.resume_check import changes

    notes = []
    newest = RunCheckpoints(run.folder.checkpoints).last()
    if newest is not None:
        memory = newest.memory
        settings = written.redact(plain(run.config))
        changed = changes(memory.get("config"), memory.get("parts") or {}, run.config, settings)
        notes += [f"{run.folder.config.name} was changed after the run: {change}" for change in changed]
    if run.folder.model.is_dir():
        try:
            verify_model_folder(run.folder.model)
        except DataError as error:
            notes.append(f"model/ is not as the run wrote it: {error}")
    if run.config.trainer.compile_mode == "auto":
        notes.append("trainer.compile=auto chooses by the clock")
    return notes
