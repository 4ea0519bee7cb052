"""The receipt of a prepared corpus: plain values that say what went in, what was dropped and what came out."""

import dataclasses
import hashlib
import json
import platform
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

from prospero.errors import DataError
from prospero.paths import write_text
from prospero.plain import from_plain
from prospero.secret_values import scrub

FORMAT = 3
"""Raised when prepared data of older versions can no longer be used; part of every folder's name."""
FINGERPRINT_FORMAT = 1
"""Raised when the same text and settings give other tokens; part of every fingerprint, which a run holds on to."""

FILE = "receipt.json"
REQUIRED = ("format", "fingerprint", "splits", "sources", "tokenizer", "files", "bigram_bits_per_byte")
DIGEST = "digest"
"""The last entry of the file: the hash of all that stands before it."""


class DocumentCounts:
    """Counts documents and bytes on their way in."""

    def __init__(self) -> None:
        self.documents: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self.characters = 0
        self.duplicate_examples: list[str] = []

    def add(self, outcome: str, n_bytes: int) -> None:
        """Count one document of `n_bytes` under read, kept, dropped or duplicate."""
        self.documents[outcome] += 1
        self.bytes[outcome] += n_bytes

    def plain(self) -> dict[str, Any]:
        """Return the counts as plain values."""
        names = ("read", "kept", "dropped", "duplicate")
        return {
            "documents": {name: self.documents[name] for name in names},
            "bytes": {name: self.bytes[name] for name in names},
            "characters": self.characters,
            "duplicate_examples": self.duplicate_examples,
        }


def plain(value: Any) -> Any:
    """Return settings as plain values: a dataclass as a dict with its class's name, an Enum as its name."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"class": type(value).__name__} | fields
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def settings_of(kind: type, written: Mapping[str, Any]) -> Any:
    """Return settings of `kind` as `plain` wrote them; DataError for a setting that it does not have."""
    return from_plain(kind, _without_classes(written))


def _without_classes(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_classes(item) for name, item in value.items() if name != "class"}
    return [_without_classes(item) for item in value] if isinstance(value, list) else value


def digest(value: Any) -> str:
    """Return 32 hexadecimal digits that change with any part of a plain value; the order of dict keys counts."""
    return hashlib.blake2b(json.dumps(value, ensure_ascii=True).encode(), digest_size=16).hexdigest()


def origin() -> dict[str, Any]:
    """Return when and with what a receipt is made."""
    from prospero import __version__

    return {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "prospero": __version__,
        "python": platform.python_version(),
    }


def write_receipt(folder: Path, receipt: Mapping[str, Any]) -> None:
    """Write `receipt.json` into `folder`, with a hash of itself."""
    scrubbed = json.loads(scrub(_text(receipt)))
    write_text(folder / FILE, _text(scrubbed | {DIGEST: digest(scrubbed)}))


def _text(receipt: Mapping[str, Any]) -> str:
    """Return a receipt as JSON; lone surrogates (a path that is not UTF-8 has them) as JSON's own escapes."""
    text = json.dumps(receipt, indent=2, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def file_hash(path: Path) -> str:
    """Return 32 hexadecimal digits of a small file's content."""
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()


def read_receipt(folder: Path) -> dict[str, Any]:
    """Read `receipt.json` of `folder`; raises `DataError` when it is missing, damaged or of another format."""
    try:
        text = (folder / FILE).read_text(encoding="utf-8")
        receipt = json.loads(text)
    except OSError as error:
        raise DataError(f"{folder} holds no prepared data ({FILE}: {error.strerror}); run prepare first") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{folder / FILE} is damaged ({error}); delete the folder and prepare again") from error
    missing = [key for key in REQUIRED if not isinstance(receipt, dict) or key not in receipt]
    if missing or receipt["format"] != FORMAT:
        raise DataError(f"{folder / FILE} is not of format {FORMAT}; delete the folder and prepare again")
    stated = receipt.pop(DIGEST, None)
    if stated != digest(receipt) or text != _text(receipt | {DIGEST: stated}):
        raise DataError(f"{folder / FILE} is damaged or was changed by hand; delete the folder and prepare again")
    return receipt
