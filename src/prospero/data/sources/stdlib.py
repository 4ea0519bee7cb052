"""The embedded corpus: text that comes with every CPython, collected when it is needed; nothing is downloaded.

It is the language reference that `help()` reads (`pydoc_data.topics`) and the portable part of the standard library's
sources. It differs a little between versions of Python, so the version is part of its identity.
"""

import importlib
import platform
import re
import sysconfig
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prospero.data.document import Document
from prospero.data.sources.find_files import FoundFile, listing_hash
from prospero.data.sources.python_files import find_python_files, python_documents
from prospero.data.sources.source import SourceConfig
from prospero.errors import ConfigError, DataError

# Not installed by every distribution, generated for one machine, tables rather than code, or test data.
_LEFT_OUT = re.compile(
    r"(.*/)?(tests?|idle_test|__pycache__)/|(encodings|idlelib|tkinter|turtledemo|lib2to3|distutils|ensurepip|"
    r"pydoc_data|msilib|__phello__|lib-dynload|site-packages|dist-packages|(plat|config)-[^/]*)/|"
    r"(turtle|sitecustomize|usercustomize|_sysconfigdata_.*|__hello__.*|this|antigravity)\.py"
)


@dataclass(kw_only=True, slots=True)
class StdlibConfig(SourceConfig):
    """The text that comes with Python: its language reference and the portable part of its standard library."""

    topics: bool = True
    """Take the language reference, prose in English."""
    sources: bool = True
    """Take the sources of the standard library."""

    def __post_init__(self) -> None:
        SourceConfig.__post_init__(self)
        if not (self.topics or self.sources):
            raise ConfigError("topics=false and sources=false leave no text; turn one of them on.")

    def build(self) -> "StdlibSource":
        """Look for the sources; raises `DataError` when this Python came without them."""
        return StdlibSource(topics=self.topics, sources=self.sources)


class StdlibSource:
    """Topics, then source files, each a document and sorted by name."""

    def __init__(self, *, topics: bool, sources: bool) -> None:
        self.notes: Counter[str] = Counter()
        self.topics = language_topics() if topics else {}
        self.files = stdlib_files() if sources else []

    def documents(self) -> Iterator[Document]:
        """Give each topic as `pydoc_data/topics#name` and each file by its name below the library's folder."""
        self.notes.clear()
        for name, text in sorted(self.topics.items()):
            yield Document(text=text, id=f"pydoc_data/topics#{name}", source="pydoc_data")
        yield from python_documents(self.files, self.notes)

    def identity(self) -> dict[str, Any]:
        """Return the version of Python and a hash over names, sizes and times of change."""
        return {"source": "stdlib", **python_identity(), "topics": len(self.topics), **listing_hash(self.files)}

    def describe(self) -> str:
        """Return the version, the number of files and their size."""
        return f"{len(self.topics)} topics and {len(self.files)} sources of Python {platform.python_version()}"

    def size_bytes(self) -> int | None:
        """Return the size of the topics and files."""
        return sum(map(len, self.topics.values())) + sum(file.size for file in self.files)


def python_identity() -> dict[str, str]:
    """Return the implementation and version of the running Python."""
    return {"python": f"{platform.python_implementation()} {platform.python_version()}"}


def language_topics() -> dict[str, str]:
    """Return the topics of the language reference (name -> text); none where the distribution left them out."""
    try:
        module = importlib.import_module("pydoc_data.topics")
    except ImportError:
        return {}
    return dict(module.topics)


def is_portable(name: str) -> bool:
    """Return whether a file or folder/ of the standard library belongs to the corpus on every machine."""
    return _LEFT_OUT.fullmatch(name) is None


def stdlib_files(folder: Path | None = None) -> list[FoundFile]:
    """Return the portable sources of the running Python; raises `DataError` when there are none."""
    folder = folder or Path(sysconfig.get_paths()["stdlib"])
    files = find_python_files(folder, is_portable)
    if len(files) < 50:
        raise DataError(
            f"This Python has no standard-library sources (.py) in {folder}, so data=stdlib has no text here; "
            "install them, use another Python, or give your own text: data=files data.path=<file, folder or glob>."
        )
    return files
