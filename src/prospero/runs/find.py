"""Run folders: where a run writes, and how a run is found again by `last`, by its folder or by its name."""

import contextlib
import os
import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from prospero.errors import ConfigError, suggest
from prospero.runs.folder import RunFolder

if TYPE_CHECKING:
    from prospero.processes.rendezvous import Rendezvous


def agree(rendezvous: "Rendezvous", *, outputs_dir: str, run_dir: str | None, name: str, resume: bool) -> Path:
    """Return the run's folder in every process: rank 0 makes it (see `create`), whatever the others were given.

    Raises ConfigError in a process that does not see the folder.
    """

    def make() -> str:
        return str(create(outputs_dir, run_dir, name, resume=resume).resolve())

    folder = Path(rendezvous.share("run folder", make))
    if not folder.is_dir():
        raise ConfigError(
            f"the run folder {folder} of rank 0 is not to be seen from rank {rendezvous.rank}; give run_dir= on a disk "
            "that all machines share (prepared data may lie on disks of their own: outputs_dir=)"
        )
    return _as_given(folder)


def _as_given(folder: Path) -> Path:
    """The folder relative to the current one where it lies inside, which reads better."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) and folder != here else folder


def create(outputs_dir: str, run_dir: str | None, name: str, *, resume: bool) -> Path:
    """Return the new run's folder, made; with `run_dir` None it is `<outputs_dir>/train/<date>_<time>_<name>`.

    Raises ConfigError when the folder holds another run already and `resume` is not asked, or cannot be written.
    """
    if run_dir is not None:
        folder = Path(run_dir)
        if os.path.exists(folder) and not os.path.isdir(folder):
            raise ConfigError(f"run_dir={run_dir} is a file; give a folder")
        if os.path.isdir(folder) and RunFolder(folder).holds_a_run and not resume:
            raise ConfigError(
                f"run_dir={run_dir} already holds a run; continue it with resume=auto, or choose another run_dir"
            )
        _make(folder)
    else:
        stem = Path(outputs_dir, "train", f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{_file_name(name)}")
        folder = _make_unused(stem)
    return folder


def _make(folder: Path, *, exist_ok: bool = True) -> None:
    made = [place for place in (folder, *folder.parents) if not os.path.exists(place)]
    try:
        folder.mkdir(parents=True, exist_ok=exist_ok)
        probe = folder / f".write-test-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except FileExistsError as error:
        if os.path.isdir(folder):
            raise
        raise ConfigError(f"{folder} cannot be a folder: {error.filename} is a file; choose another run_dir") from error
    except NotADirectoryError as error:
        raise ConfigError(
            f"{folder} cannot be a folder: a part of the path is a file; choose another run_dir"
        ) from error
    except OSError as error:
        for place in made:
            with contextlib.suppress(OSError):
                place.rmdir()
        raise ConfigError(
            f"The folder {folder} cannot be written ({error.strerror}); choose another with run_dir="
        ) from error


def _make_unused(stem: Path) -> Path:
    """Two runs of one second get folders of their own."""
    for number in range(1000):
        folder = stem if number == 0 else stem.with_name(f"{stem.name}-{number + 1}")
        try:
            _make(folder, exist_ok=False)
        except FileExistsError:
            continue
        return folder
    raise ConfigError(f"There are a thousand runs called {stem} already; give another name=")


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.+=-]+", "_", name).strip("_") or "run"


def find(run: str, outputs_dir: str) -> Path:
    """Return the folder of a run: `last`, a folder, or a name (whole or the part after the date).

    `last` is the newest run that has a model or a checkpoint. A name may also be that of an imported model.

    Raises ConfigError naming the nearest runs when there is none.
    """
    if os.path.isdir(run):
        return Path(run)
    root = Path(outputs_dir, "train")
    folders = _all_runs(Path(outputs_dir))
    if run == "last":
        folders = [folder for folder in folders if RunFolder(folder).holds_weights]
        if not folders:
            raise ConfigError(f"There is no trained run in {root} yet; train one with: python train.py")
        return max(folders, key=_begun)
    for folder in reversed(folders):
        if folder.name == run or _bare_name(folder) == run:
            return folder
    models = [folder.name for folder in imported_models(outputs_dir).glob("[!.]*") if folder.is_dir()]
    if run in models:
        return imported_models(outputs_dir) / run
    names = sorted({folder.name for folder in folders} | {_bare_name(folder) for folder in folders} | {*models})
    known = f" The newest runs: {', '.join(folder.name for folder in folders[-3:])}." if folders else ""
    raise ConfigError(f"There is no run '{run}' in {root}.{suggest(run, names)}{known} Or give a folder, or run=last.")


def imported_models(outputs_dir: str) -> Path:
    """Return the folder of the models that were imported; it need not exist."""
    return Path(outputs_dir, "models")


def _all_runs(outputs_dir: Path) -> list[Path]:
    """All folders under `outputs_dir` that hold a run, by time; those given a run_dir of their own too."""
    patterns = [str(RunFolder(Path(place)).config) for place in ("train/*", "*", "sweeps/*/*")]
    found = {path.parent for pattern in patterns for path in outputs_dir.glob(pattern)}
    return sorted(found, key=_begun)


def _begun(folder: Path) -> float:
    """When the run began, or went on for the last time."""
    return RunFolder(folder).config.stat().st_mtime


def _bare_name(folder: Path) -> str:
    return re.sub(r"^\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_", "", folder.name)
