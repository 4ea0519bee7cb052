"""Small corpora for the tests of this room: documents of known tokens, and prepared folders."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from prospero.data.dedup.exact import ExactDedupConfig
from prospero.data.settings import PrepareConfig
from prospero.data.shards import ShardWriter, TokenShards
from prospero.data.sources.files import FilesConfig
from prospero.data.split import HashSplitConfig
from prospero.data.tokenizer.byte import ByteTokenizerConfig

EOT = 0


def make_shards(
    path: Path, documents: Sequence[Sequence[int]], *, dtype: type = np.uint16, sources: Sequence[int] | None = None
) -> TokenShards:
    """Write documents of given ids (EOT is id 0) and sources (all of source 0 unless given) and open the file."""
    writer = ShardWriter(path, dtype, EOT)
    for document, source in zip(documents, sources or [0] * len(documents), strict=True):
        writer.add(np.array(document, dtype=dtype), n_bytes=len(document), n_characters=len(document))
        writer.end_document(source)
    writer.close()
    return TokenShards(path)


def random_documents(n: int, longest: int, seed: int = 0, vocab_size: int = 100) -> list[list[int]]:
    """Return `n` documents of 1 to `longest` ids, none of them EOT."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, longest + 1, n)
    return [generator.integers(1, vocab_size, length).tolist() for length in lengths]


def write_corpus(folder: Path, texts: Sequence[str]) -> Path:
    """Write texts as rows of one jsonl file and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "corpus.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return path


def sentences(n: int, seed: int = 0) -> list[str]:
    """Return `n` different short texts of many scripts."""
    words = [
        "the",
        "tempest",
        "Ærøskøbing",
        "日本語",
        "naïve",
        "isle",
        "magic",
        "café",
        "😀",
        "x = 3",
        "books",
        "Ελλάδα",
    ]
    generator = np.random.default_rng(seed)
    return [" ".join(generator.choice(words, 12)) + f" number {i}.\nAnd so on." for i in range(n)]


def settings(path: Path, outputs_dir: Path, **changes: Any) -> PrepareConfig:
    """Return settings for `path`: bytes, hash split, exact de-duplication, no cleaning."""
    chosen: dict[str, Any] = {
        "data": FilesConfig(path=str(path)),
        "dedup": ExactDedupConfig(),
        "split": HashSplitConfig(val_fraction=0.2, test_fraction=0.1),
        "tokenizer": ByteTokenizerConfig(),
        "outputs_dir": str(outputs_dir),
    }
    return PrepareConfig(**(chosen | changes))
