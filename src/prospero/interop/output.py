"""Files and folders of an export: written beside their place under another name, and there as a whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prospero.checkpoints import folders
from prospero.errors import ConfigError
from prospero.paths import fsync_file, fsync_folder


def check_free(out: Path) -> None:
    """Raise ConfigError unless `out` is a new name or an empty folder."""
    if os.path.isdir(out) and not os.path.islink(out):
        if any(out.iterdir()):
            raise ConfigError(f"out={out} is a folder that is not empty; it is not replaced, name another")
    elif os.path.lexists(out):
        raise ConfigError(f"out={out} exists; it is not replaced, name another")


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Give an empty folder to write in; when the block ends well it becomes `out`, else nothing is left of it."""
    check_free(out)
    temporary, made = folders.unfinished(out), [place for place in out.parents if not os.path.exists(place)]
    try:
        with _said_in_one_line(out):
            temporary.mkdir(parents=True)
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    fsync_file(file)
            folders.publish(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        _remove_empty(made)


@contextmanager
def new_file(out: Path) -> Iterator[Path]:
    """Give a path to write to; when the block ends well it becomes the file `out`, else nothing is left of it."""
    with new_files(out) as folder:
        yield folder / out.name


@contextmanager
def new_files(out: Path) -> Iterator[Path]:
    """Give a folder to write `out.name` and files beside it in; when the block ends well they stand beside each other.

    `out` comes last: where it is, what it refers to is there. Names that are taken are refused.
    """
    if os.path.isdir(out):
        raise ConfigError(f"out={out} is a folder; this format is one file, name it")
    check_free(out)
    folder, made = folders.unfinished(out), [place for place in out.parents if not os.path.exists(place)]
    try:
        with _said_in_one_line(out):
            folder.mkdir(parents=True)
            yield folder
            for file in sorted(folder.iterdir(), key=lambda file: file.name == out.name):
                check_free(out.with_name(file.name))
                os.chmod(file, 0o644)
                fsync_file(file)
                os.replace(file, out.with_name(file.name))
            fsync_folder(out.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _remove_empty(made)


@contextmanager
def _said_in_one_line(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"out={out} cannot be written ({error.strerror or error}); name another place") from error


def _remove_empty(made: list[Path]) -> None:
    """Remove the parents that were made for nothing, the innermost first; one that holds something stays."""
    for place in made:
        if os.path.isdir(place) and not any(place.iterdir()):
            place.rmdir()
