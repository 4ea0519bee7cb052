"""Python sources as documents: which encoding, what is left out, and ids that name no folder of the machine."""

import io
import os
import tokenize
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from prospero.data.document import Document
from prospero.data.sources.find_files import FoundFile

UNREADABLE = "Python files left out: unreadable or wrongly encoded"


def find_python_files(folder: Path, keep: Callable[[str], bool]) -> list[FoundFile]:
    """Return the `.py` files below `folder` whose relative name (with slashes) `keep` accepts, sorted by name.

    `keep` is asked about folders too, whose names end in a slash; what is below a refused folder is not looked at.
    """
    found = []
    for parent, folders, names in os.walk(folder):
        below = os.path.relpath(parent, folder).replace(os.sep, "/")
        start = "" if below == "." else below + "/"
        folders[:] = [name for name in folders if name != "__pycache__" and keep(f"{start}{name}/")]
        for name in names:
            if name.endswith(".py") and keep(start + name):
                path = Path(parent, name)
                if path.is_file():
                    status = path.stat()
                    found.append(FoundFile(path, start + name, status.st_size, status.st_mtime_ns))
    return sorted(found, key=lambda file: file.name)


def read_python(path: Path) -> str:
    """Return the text of a source file, decoded as its coding line says; raises OSError, SyntaxError, ValueError."""
    data = path.read_bytes()
    if data.isascii():  # a quarter of the time; the coding line of an ASCII file changes nothing
        text = data.decode("ascii")
    else:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding)
    return text.replace("\0", "")


def python_documents(files: Iterable[FoundFile], notes: Counter[str]) -> Iterator[Document]:
    """Give every file that can be decoded as one document of its top package; the others, and empty ones, count."""
    for file in files:
        try:
            text = read_python(file.path)
            text.encode()
        except (OSError, SyntaxError, ValueError, LookupError):
            notes[UNREADABLE] += 1
            continue
        if text:
            yield Document(text=text, id=file.name, source=file.name.split("/")[0].removesuffix(".py"))
        else:
            notes["empty files"] += 1
