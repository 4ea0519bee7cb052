"""Prose alone from the running Python: its language reference and the docstrings of its standard library."""

import ast
import inspect
import platform
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from prospero.data.document import Document
from prospero.data.sources.find_files import listing_hash
from prospero.data.sources.python_files import UNREADABLE, read_python
from prospero.data.sources.source import SourceConfig
from prospero.data.sources.stdlib import language_topics, python_identity, stdlib_files

SOURCE = "stdlib_docs"
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(kw_only=True, slots=True)
class StdlibDocsConfig(SourceConfig):
    """The prose that comes with Python: its language reference and the docstrings of its standard library."""

    min_characters: int = 40
    """Shorter docstrings ("See base class.") are left out."""

    def build(self) -> "StdlibDocsSource":
        """Look for the sources; raises `DataError` when this Python came without them."""
        return StdlibDocsSource(self.min_characters)


class StdlibDocsSource:
    """Topics, then for each module one document: its docstrings in the order of the source, a blank line between."""

    def __init__(self, min_characters: int) -> None:
        self.min_characters = min_characters
        self.notes: Counter[str] = Counter()
        self.topics = language_topics()
        self.files = stdlib_files()

    def documents(self) -> Iterator[Document]:
        """Give each topic as `pydoc_data/topics#name` and each module's docstrings as `name.py#docs`."""
        self.notes.clear()
        for name, text in sorted(self.topics.items()):
            yield Document(text=text, id=f"pydoc_data/topics#{name}", source=SOURCE)
        for file in self.files:
            try:
                found = docstrings(read_python(file.path))
            except (OSError, SyntaxError, ValueError, LookupError):
                self.notes[UNREADABLE] += 1
                continue
            kept = [text for text in found if len(text) >= self.min_characters]
            self.notes["docstrings left out: too short"] += len(found) - len(kept)
            if kept:
                yield Document(text="\n\n".join(kept) + "\n", id=f"{file.name}#docs", source=SOURCE)

    def identity(self) -> dict[str, Any]:
        """Return the version of Python, the setting and a hash over names, sizes and times of change."""
        return {
            "source": "stdlib_docs",
            "min_characters": self.min_characters,
            "topics": len(self.topics),
            **python_identity(),
            **listing_hash(self.files),
        }

    def describe(self) -> str:
        """Return the version and the number of modules."""
        version = platform.python_version()
        return f"{len(self.topics)} topics and the docstrings of {len(self.files)} modules of Python {version}"

    def size_bytes(self) -> int | None:
        """Return the size of the topics and a sixth of that of the sources, which is about what is docstring."""
        return sum(map(len, self.topics.values())) + sum(file.size for file in self.files) // 6


def docstrings(source: str) -> list[str]:
    """Return the docstrings of a module, its classes and functions, without indentation, in the order of the source."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in old code
        tree = ast.parse(source)
    nodes = [node for node in ast.walk(tree) if isinstance(node, _DOCUMENTED)]
    nodes.sort(key=lambda node: getattr(node, "lineno", 0))
    texts = (ast.get_docstring(node, clean=False) for node in nodes)
    cleaned = (inspect.cleandoc(text).encode("utf-8", "replace").decode().replace("\0", "") for text in texts if text)
    return [text for text in cleaned if text]
