"""The Python code of the packages installed beside this program: a medium corpus (100 MB or so) without download."""

import os
import sysconfig
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prospero.data.document import Document
from prospero.data.sources.find_files import FoundFile, listing_hash
from prospero.data.sources.python_files import find_python_files, python_documents
from prospero.data.sources.source import SourceConfig
from prospero.errors import ConfigError, DataError, suggest


@dataclass(kw_only=True, slots=True)
class SitePackagesConfig(SourceConfig):
    """The Python code of installed packages."""

    packages: list[str] = field(default_factory=list)
    """Import names such as torch or sympy; none means all that are installed."""
    max_bytes: int | None = None
    """Files are taken in the order of their names until they have this many bytes."""

    def __post_init__(self) -> None:
        SourceConfig.__post_init__(self)
        if self.max_bytes is not None and self.max_bytes <= 0:
            raise ConfigError(f"max_bytes={self.max_bytes} leaves no text; give a positive number of bytes, or null.")

    def build(self) -> "SitePackagesSource":
        """Find the files; raises `DataError` for a package that is not installed."""
        paths = sysconfig.get_paths()
        folders = list(dict.fromkeys(Path(paths[key]) for key in ("purelib", "platlib")))
        return SitePackagesSource(folders, self.packages, self.max_bytes)


class SitePackagesSource:
    """The `.py` files of packages, each a document named relative to the folder of packages."""

    def __init__(self, folders: list[Path], packages: list[str], max_bytes: int | None) -> None:
        self.notes: Counter[str] = Counter()
        self.packages = packages
        installed = _installed(folders)
        for package in packages:
            if package not in installed:
                near = suggest(package, installed) or f" Installed: {', '.join(sorted(installed)[:12])}, ..."
                raise DataError(f"data.packages: no Python code of '{package}' in {folders[0]}.{near}")
        chosen = frozenset(packages) or installed
        found = [
            file
            for folder in folders
            for file in find_python_files(folder, lambda name: name.split("/")[0].removesuffix(".py") in chosen)
        ]
        self.files = _limited(sorted(found, key=lambda file: file.name), max_bytes)
        if not self.files:
            raise DataError(f"No Python file in {folders[0]}{f' within max_bytes={max_bytes}' if max_bytes else ''}.")

    def documents(self) -> Iterator[Document]:
        """Give each file that can be decoded."""
        self.notes.clear()
        yield from python_documents(self.files, self.notes)

    def identity(self) -> dict[str, Any]:
        """Return the packages and a hash over names, sizes and times of change."""
        return {"source": "site_packages", "packages": sorted(self.packages), **listing_hash(self.files)}

    def describe(self) -> str:
        """Return the number of files, their size and the packages."""
        which = ", ".join(self.packages) if self.packages else "all installed packages"
        return f"{len(self.files)} Python files of {which}, {self.size_bytes() / 1e6:.1f} MB"

    def size_bytes(self) -> int:
        """Return the size of the files."""
        return sum(file.size for file in self.files)


def _installed(folders: list[Path]) -> frozenset[str]:
    """Return the import names of folders and single files with Python code; raises `DataError` when there are none."""
    names = set()
    for folder in folders:
        for entry in os.scandir(folder) if folder.is_dir() else ():
            hidden = entry.name.startswith((".", "__pycache__"))
            no_code = entry.name.endswith((".dist-info", ".egg-info", ".libs", ".data"))
            if not hidden and not no_code and (entry.is_dir() or entry.name.endswith(".py")):
                names.add(entry.name.removesuffix(".py"))
    if not names:
        raise DataError(f"No packages are installed in {folders[0]}, so data=site_packages has no text here.")
    return frozenset(names)


def _limited(files: list[FoundFile], max_bytes: int | None) -> list[FoundFile]:
    if max_bytes is None:
        return files
    taken, total = [], 0
    for file in files:
        total += file.size
        if total > max_bytes:
            break
        taken.append(file)
    return taken
