"""Real files in every form, made in a temporary folder."""

import bz2
import csv
import gzip
import json
import lzma
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import zstandard

from prospero.data.document import Document
from prospero.data.sources.files import FilesConfig

PACK = {
    ".gz": lambda data: gzip.compress(data, mtime=0),  # the same bytes in every test worker, which names tests by them
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: zstandard.ZstdCompressor().compress(data),
}
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256)) * 4


def write_rows(path: Path, texts: Sequence[Any], field: str = "text") -> Path:
    """Write one row for each text, with a number beside it, in the form that the ending (before a packing) says."""
    plain = path.with_suffix("") if path.suffix in PACK else path
    rows = [{"n": number, field: text} for number, text in enumerate(texts)]
    if plain.suffix == ".jsonl":
        plain.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    elif plain.suffix == ".json":
        plain.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    elif plain.suffix in (".csv", ".tsv"):
        with open(plain, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["n", field], delimiter="\t" if plain.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    else:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), plain)
    return pack(plain, path.suffix) if path.suffix in PACK else plain


def pack(plain: Path, ending: str) -> Path:
    """Compress a file, remove the plain one, and return the path of the new one."""
    packed = plain.with_name(plain.name + ending)
    packed.write_bytes(PACK[ending](plain.read_bytes()))
    plain.unlink()
    return packed


def read(path: Path | str, **settings: Any) -> list[Document]:
    """Read all documents of `data=files data.path=...`."""
    return list(FilesConfig(path=str(path), **settings).build().documents())


def texts(path: Path | str, **settings: Any) -> list[str]:
    """Read all texts of `data=files data.path=...`."""
    return [document.text for document in read(path, **settings)]
