"""The frame of a run: its processes, its folder, the checkpoint it goes on from, and how all of that ends.

A run that cannot be begun leaves nothing behind; one that has begun closes its loggers, lets its folder go and parts
from its other processes, however it ends.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning as L

from prospero import log as logging_setup
from prospero import paths
from prospero.checkpoints import folders
from prospero.checkpoints.manifest import OtherFormat
from prospero.checkpoints.run_checkpoints import Checkpoint, RunCheckpoints, is_checkpoint
from prospero.checkpoints.source import Source
from prospero.configuration import written
from prospero.errors import ConfigError, DataError, Interrupted
from prospero.evaluation.measurement import Measurement
from prospero.log import log
from prospero.model.numerics import NumericsChoice
from prospero.plain import flat, plain
from prospero.processes import launch, ranks, signals
from prospero.processes.rendezvous import Rendezvous
from prospero.processes.run_lock import RunLock
from prospero.runs import find as find_run
from prospero.runs.environment import write_environment
from prospero.runs.folder import RunFolder
from prospero.secret_values import is_secret
from prospero.training.compilation import keep_compiled
from prospero.training.devices import gpus
from prospero.training.distillation.teaching import Teaching
from prospero.training.failures import worded
from prospero.training.loggers import close_loggers
from prospero.training.loggers.base import RunLogger
from prospero.training.resume_check import check_settings
from prospero.training.trainer import Hardware
from prospero.training.usage import UsageMeter, meter_of

if TYPE_CHECKING:
    from prospero.training.settings import TrainConfig

DECIDED_BY_RANK_0 = ("run_dir", "resume", "outputs_dir")
"""Settings that may differ between processes: the first two are taken from rank 0, the third is each machine's own."""


@dataclass(slots=True)
class Session:
    """One run: its settings, its folder, and what is found out before it trains."""

    config: "TrainConfig"
    plain_config: dict[str, Any]
    hardware: Hardware
    rendezvous: Rendezvous
    folder: RunFolder
    lock: RunLock | None = None
    """Keeps a second process out of the folder; held by rank 0."""
    fresh: bool = True
    """Whether the folder held no run before."""
    source: Source | None = None
    """Where the first weights come from; None where they are drawn."""
    teaching: Teaching | None = None
    """What the run learns from besides the text; None for the text alone."""
    checkpoint: Checkpoint | None = None
    """The checkpoint to continue from."""
    checkpoints: RunCheckpoints = field(default_factory=lambda: RunCheckpoints(Path()))
    """Those of this run's folder."""
    numerics: NumericsChoice | None = None
    """How the model computes on this machine; the same however often the run goes back."""
    tasks: list[Measurement] = field(default_factory=list)
    analyses: list[Measurement] = field(default_factory=list)
    """What the model is measured by besides validation; read once."""
    loggers: list[RunLogger] = field(default_factory=list)
    """Where metrics go, the same however often the run goes back."""
    usage: UsageMeter | None = None
    """Measures hours and energy of this process."""
    begun: bool = False
    """Whether the run trains, or has."""
    made: list[Path] = field(default_factory=list)
    """The folders above the run's own that were not there before, the inner first."""
    exit_code: int | None = None
    """What the program leaves with; None until the run has come to its end."""
    started: float = field(default_factory=time.perf_counter)

    @property
    def micro_batch_size(self) -> int:
        """Sequences of one forward pass: the setting, else a device's whole share of the global batch."""
        config, together, sharing = self.config, self.hardware.tensor_parallel, self.hardware.data_parallel_size
        if config.global_batch_size % sharing:
            who = f"{sharing} processes" if together == 1 else f"{sharing} groups of {together} processes"
            raise ConfigError(f"global_batch_size={config.global_batch_size} cannot be shared by {who}")
        return config.micro_batch_size or config.global_batch_size // sharing

    def begin(self, data_fingerprint: str | None = None) -> None:
        """Write down what is run: every process has come here, nothing can be wrong with the settings any more.

        `data_fingerprint` is that of the prepared data.
        """
        self.rendezvous.all_ready()
        if ranks.is_rank_zero():
            self._put_later_aside()
            paths.write_text(self.folder.config, written.rerunnable(self.config))
            used = self.hardware.plain()
            write_environment(self.folder.path, gpus=gpus(), hardware=used, data_fingerprint=data_fingerprint)
            if self.source is not None:
                paths.write_text(self.folder.init_from, json.dumps(self.source.plain(), indent=1) + "\n")
            if self.teaching is not None:
                paths.write_text(self.folder.teacher, json.dumps(self.teaching.plain(), indent=1) + "\n")
        if self.usage is not None:
            from_step = self.checkpoint.step if self.checkpoint is not None else 0
            self.usage.begin(self.folder.usage_of(ranks.rank()), from_step)
        self.begun = True

    @property
    def goes_on_in_place(self) -> bool:
        """Whether the checkpoint that the run goes on from lies in its own folder."""
        found = self.checkpoint
        return found is not None and found.path.parent.resolve() == self.checkpoints.folder.resolve()

    def _put_later_aside(self) -> None:
        """Keep the checkpoints after the one that the run goes back to, and the metrics until then, under new names."""
        if self.checkpoint is None or not self.goes_on_in_place:
            return
        step, later = self.checkpoint.step, self.checkpoints.after(self.checkpoint.step)
        if not later:
            return
        metrics, unreadable = self.folder.metrics_until(later[0].step), self.checkpoints.unreadable
        aside = [paths.put_aside(c.path, "damaged" if c.path in unreadable else "later").name for c in later]
        log.warning(
            "the run goes back to step %d: the checkpoints after it are put aside as %s, the metrics until now as %s",
            step,
            ", ".join(aside),
            metrics.name,
        )
        if self.folder.metrics.is_file():
            shutil.copyfile(self.folder.metrics, metrics)

    def discard(self) -> None:
        """Remove what a new run wrote before its first step, and the folders made for it with nothing else in them."""
        if not self.fresh or not ranks.is_rank_zero():
            return
        logging_setup.configure()
        folder = self.folder
        if self.usage is not None:
            self.usage.close()
        files = (folder.log, folder.config, folder.environment, folder.code_diff, folder.numerics, *folder.usages())
        for path in files:
            path.unlink(missing_ok=True)
        self.release()
        for path in (folder.path, *self.made):
            if os.path.isdir(path) and not any(path.iterdir()):
                path.rmdir()

    def release(self) -> None:
        """Let other processes use the folder."""
        if self.lock is not None:
            self.lock.release()

    def end(self, exit_code: int) -> int:
        """Note that the run has come to its end in all processes alike, and return what this one leaves with.

        A process that another one started leaves with 0: only what all agreed on comes here, and the first says it.
        """
        self.exit_code = 0 if ranks.is_launched_child() else exit_code
        return self.exit_code


@contextmanager
def open_session(
    config: "TrainConfig", source: Source | None = None, teaching: Teaching | None = None
) -> Iterator[Session]:
    """Look at the machine, meet the other processes, and open the run's folder; see the head of this file."""
    with signals.watched():
        hardware = config.trainer.hardware()
        if config.trainer.compile_mode != "off":
            keep_compiled(Path(config.outputs_dir, "compiled"))
        rendezvous = launch.join(hardware.devices, hardware.num_nodes)
        rendezvous.same("settings", flat(plain(config), without=DECIDED_BY_RANK_0), hidden=is_secret)
        place = Path(config.outputs_dir, "train", "run") if config.run_dir is None else Path(config.run_dir)
        made = [path for path in place.absolute().parents if not os.path.exists(path)]
        folder = find_run.agree(
            rendezvous,
            outputs_dir=config.outputs_dir,
            run_dir=config.run_dir,
            name=config.run_name(),
            resume=config.resume is not None,
        )
        settings = written.redact(plain(config))
        session = Session(config, settings, hardware, rendezvous, RunFolder(folder), made=made, source=source)
        session.teaching = teaching
        session.usage = meter_of(hardware.accelerator.name, config.price_per_hour)
        try:
            _occupy(session)
            _find_checkpoint(session)
            seed_everything(config.seed)
            yield session
        except BaseException as error:
            if not session.begun or (isinstance(error, Interrupted) and not signals.watch.deferred):
                session.discard()
            said = worded(error, session.folder, session.hardware.world_size)
            if said is error:
                raise
            raise said from error
        finally:
            session.usage.close()
            close_loggers(session.loggers, 1 if session.exit_code is None else session.exit_code)
            session.release()
            ranks.leave(together=session.exit_code is not None)


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch; what happens inside steps is seeded anew there, from (seed, step, rank)."""
    L.seed_everything(seed, workers=True, verbose=False)


def _occupy(session: Session) -> None:
    """Take the folder's lock and begin its log, on rank 0; the others are silent."""
    folder = session.folder
    if ranks.is_rank_zero():
        session.lock = RunLock(folder.path).take()
    session.fresh = not folder.holds_a_run
    session.checkpoints = RunCheckpoints(folder.checkpoints)
    if ranks.is_rank_zero():
        logging_setup.configure(folder.log)
    else:
        logging_setup.configure(level=logging_setup.SILENT)
    log.info("run folder: %s", folder.path)


def _find_checkpoint(session: Session) -> None:
    """Find what `resume` asks for, on rank 0 for all; `auto` may find none and then starts anew."""
    found: list[Checkpoint] = []

    def look() -> str:
        checkpoint = _checkpoint_to_resume(session.config, session.checkpoints)
        if checkpoint is not None:
            check_settings(checkpoint, session.config, session.plain_config)
        found.extend([checkpoint] if checkpoint is not None else [])
        return str(checkpoint.path) if checkpoint is not None else ""

    path = session.rendezvous.share("checkpoint", look)
    if path:
        session.checkpoint = found[0] if found else Checkpoint.open(path)
        log.info("continuing from %s", path)
    elif not session.fresh:
        log.info("the folder holds no checkpoint yet: starting at the first step")


def _checkpoint_to_resume(config: "TrainConfig", checkpoints: RunCheckpoints) -> Checkpoint | None:
    if config.resume is None:
        return None
    if config.resume in ("auto", "last", "best"):
        folders.remove_left_over(checkpoints.folder)
        found = checkpoints.best() if config.resume == "best" else checkpoints.last()
        _refuse_to_lose(config.resume, checkpoints, found)
        return found
    path = Path(config.resume)
    is_folder = bool(config.resume) and os.path.isdir(path)  # a name too long for a path is no error to os.path
    if is_folder and not is_checkpoint(path):
        newest = RunCheckpoints(RunFolder(path).checkpoints).last()
        if newest is not None:
            return newest
    if not is_folder or not is_checkpoint(path):
        raise ConfigError(f"resume={config.resume} is neither auto, last, best nor the folder of a checkpoint or run")
    return Checkpoint.open(path).verify()


def _refuse_to_lose(resume: str, checkpoints: RunCheckpoints, found: Checkpoint | None) -> None:
    """Raise where going on would train anew what is there and only cannot be read, or not by this version."""
    unreadable = checkpoints.unreadable
    newer = [
        error
        for path, error in unreadable.items()
        if isinstance(error, OtherFormat) and (found is None or path.name > found.path.name)
    ]
    if newer:
        raise DataError(f"{newer[0]}; go on with the version of Prospero that wrote it (nothing was changed)")
    if found is None and unreadable:
        error = next(iter(unreadable.values()))
        raise DataError(
            f"none of the {len(unreadable)} checkpoints in {checkpoints.folder} can be read (the newest: {error}); "
            "nothing was changed: bring them back from a copy, or begin again in another run_dir"
        )
    if found is None and resume != "auto":
        run = checkpoints.folder.parent
        raise ConfigError(f"resume={resume}: {run} holds no readable checkpoint; start with resume=auto")
