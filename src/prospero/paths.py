"""Where things lie: the configuration folder, and files that are written whole or not at all."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def disk_is_full(error: BaseException) -> bool:
    """Whether the system has refused a write because the disk, or the user's share of it, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def config_dir() -> Path:
    """Return the folder `conf/`: of the clone when the package runs from one, else the copy inside the package."""
    package = Path(__file__).resolve().parent
    for candidate in (package.parent.parent / "conf", package / "conf"):
        if (candidate / "train.yaml").is_file():
            return candidate
    raise FileNotFoundError(
        f"conf/train.yaml was found neither beside {package.parent} nor in {package}; reinstall prospero"
    )


@contextmanager
def atomic_path(final: Path) -> Iterator[Path]:
    """Give a temporary path in the folder of `final`; when the block ends well, sync it and rename it to `final`.

    A kill at any moment leaves either the old file or the new one. On an error the temporary file is removed.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{final.name}.", suffix=".tmp", dir=final.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        fsync_file(temporary)
        os.replace(temporary, final)
        fsync_folder(final.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(final: Path, text: str) -> None:
    """Write `text` as UTF-8 to `final`, whole or not at all."""
    with atomic_path(final) as temporary:
        temporary.write_text(text, encoding="utf-8")
        os.chmod(temporary, 0o644)


def put_aside(path: Path, word: str = "damaged") -> Path:
    """Rename a file or folder to `<name>.<word>` (then `<name>.<word>-2`, ...) and return the new path."""
    number, aside = 1, path.with_name(f"{path.name}.{word}")
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.{word}-{number}")
    return path.rename(aside)


def fsync_file(path: Path) -> None:
    """Make the content of a written file durable."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def fsync_folder(folder: Path) -> None:
    """Make the folder's entries durable (a no-op where the system cannot sync a folder)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
