"""Several prepared corpora as one: their documents one after another in one folder, which reads like any other.

So everything that reads prepared data reads a mixture: validation, tests, analyses, the search for contamination. Each
part is a source of the joined corpus, under its name. Weights decide nothing here: the same folder serves all of them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from prospero.data.bigram import bigram_bits_per_byte
from prospero.data.kept_records import records_file
from prospero.data.mixture.packing import PartShards
from prospero.data.prepare import PreparedData, open_split
from prospero.data.receipt import FINGERPRINT_FORMAT, digest, file_hash, origin, write_receipt
from prospero.data.shards import ShardWriter, TokenShards
from prospero.data.split import SPLITS
from prospero.data.unknown import bytes_per_unknown
from prospero.errors import ConfigError, DataError


def join(folder: Path, parts: Mapping[str, PreparedData], settings: Mapping[str, Any]) -> None:
    """Fill `folder` with the documents of all `parts` (name -> corpus), the tokenizer and a receipt.

    `settings` are what the receipt says of how they were made. Raises ConfigError for corpora that cannot stand side
    by side: with pictures, or made with different tokenizers.
    """
    corpora = list(parts.values())
    _check(parts)
    first = corpora[0]
    rows = {split: _join_split(folder, split, corpora) for split in SPLITS if any(split in c.splits for c in corpora)}
    kept = [name for split in rows if (name := _join_records(folder, split, parts)) is not None]
    first.tokenizer.save(folder / "tokenizer.json")
    per_example = first.receipt.get("documents_per_example")
    receipt = origin() | {
        "fingerprint": digest([FINGERPRINT_FORMAT, "mixture", [[n, part.fingerprint] for n, part in parts.items()]]),
        "source": {"name": "mixture", "description": _description(parts)},
        "settings": settings,
        **_summed(corpora),
        "dropped": [row | {"step": f"{name}: {row['step']}"} for name, row in _rows(parts, "dropped")],
        "changed": _added(corpora, "changed"),
        "repairs": _added(corpora, "repairs"),
        "tokenizer": first.receipt["tokenizer"],
        "files": {name: file_hash(folder / name) for name in ("tokenizer.json", "tokenizer_config.json", *kept)},
        **({} if per_example is None else {"documents_per_example": per_example}),
        "splits": rows,
        "sources": list(parts),
        "bigram_bits_per_byte": _bigram(folder, rows, first),
        "parts": {name: _part_row(corpus) for name, corpus in parts.items()},
        "seconds": {},
    }
    write_receipt(folder, receipt)


def parts_of(shards: TokenShards, receipt: Mapping[str, Any], split: str) -> list[PartShards]:
    """Return the parts of a joined split, in their order; parts that have nothing in it are left out."""
    found, first = list[PartShards](), 0
    for row in receipt["parts"].values():
        inside = row["splits"].get(split)
        if inside is None:
            continue
        last = first + inside["documents"]
        counts = {"n_bytes": inside["bytes"], "n_characters": inside["characters"]}
        found.append(PartShards(shards, first, last, **counts))
        first = last
    if first != shards.n_documents:
        raise DataError(f"{shards.path} does not hold the documents of its parts; delete its folder and prepare again")
    return found


def _check(parts: Mapping[str, PreparedData]) -> None:
    first = next(iter(parts.values()))
    for name, corpus in parts.items():
        if any(corpus.side.values()):
            raise ConfigError(
                f"the part '{name}' has a picture for each text; a mixture is of texts and examples alone"
            )
        if corpus.tokenizer.fingerprint() != first.tokenizer.fingerprint():
            raise ConfigError(f"the part '{name}' has another tokenizer than those before it; give all parts the same")


def _join_split(folder: Path, split: str, corpora: Sequence[PreparedData]) -> dict[str, Any]:
    """Write one split of all corpora; return its row of the receipt."""
    tokenizer = corpora[0].tokenizer
    targets = corpora[0].splits["train"].targets is not None
    writer = ShardWriter(folder / f"{split}.bin", tokenizer.dtype, tokenizer.eot_id, targets=targets)
    try:
        unknown = Counter[str]()
        for number, corpus in enumerate(corpora):
            if split in corpus.splits:
                writer.append(corpus.splits[split], number)
                row = corpus.receipt["splits"][split]
                unknown += Counter(tokens=row["unknown_tokens"], bytes=row["unknown_bytes"])
        stated = writer.close()
    finally:
        writer.abandon()
    return {
        "file": writer.path.name,
        "digest": stated,
        **({} if writer.targets is None else writer.targets.plain()),
        "documents": writer.n_documents,
        "characters": writer.n_characters,
        "bytes": writer.n_bytes,
        "tokens": writer.n_tokens,
        "bytes_per_token": round(writer.n_bytes / max(1, writer.n_tokens), 4),
        "unknown_tokens": unknown["tokens"],
        "unknown_bytes": unknown["bytes"],
        "tokens_per_byte": round(writer.n_tokens / max(1, writer.n_bytes), 4),
    }


def _join_records(folder: Path, split: str, parts: Mapping[str, PreparedData]) -> str | None:
    """Put the kept fields of all parts one after another; return the file's name, None where none are kept."""
    here = {name: corpus.directory / records_file(split) for name, corpus in parts.items() if split in corpus.splits}
    there = [name for name, path in here.items() if path.exists()]
    if not there:
        return None
    lacking = next((name for name in here if name not in there), None)
    if lacking is not None:
        raise ConfigError(f"the part '{there[0]}' keeps fields of its records and '{lacking}' does not; keep the same")
    with open(folder / records_file(split), "wb") as file:
        for path in here.values():
            file.write(path.read_bytes())
    return records_file(split)


def _bigram(folder: Path, rows: Mapping[str, Any], corpus: PreparedData) -> float:
    """Return the bits per byte of a bigram model of all training text on all validation text."""
    train, val = (open_split(folder, rows[split], 1) for split in ("train", "val"))
    token_bytes = corpus.tokenizer.token_bytes().astype(np.float64)
    if corpus.tokenizer.unknown_id is not None:
        token_bytes[corpus.tokenizer.unknown_id] = bytes_per_unknown(rows["val"])
    return round(bigram_bits_per_byte(train, val, token_bytes), 4)


def _summed(corpora: Sequence[PreparedData]) -> dict[str, Any]:
    """Return the counts of documents and bytes, added up."""
    return {
        "documents": _added(corpora, "documents"),
        "bytes": _added(corpora, "bytes"),
        "characters": sum(corpus.receipt["characters"] for corpus in corpora),
        "duplicate_examples": [name for corpus in corpora for name in corpus.receipt["duplicate_examples"]],
    }


def _added(corpora: Sequence[PreparedData], key: str) -> dict[str, int]:
    """Return the counts of a table of the receipts, added up; those that are 0 stay."""
    found: dict[str, int] = {}
    for corpus in corpora:
        for name, count in corpus.receipt[key].items():
            found[name] = found.get(name, 0) + count
    return found


def _rows(parts: Mapping[str, PreparedData], key: str) -> list[tuple[str, dict[str, Any]]]:
    return [(name, row) for name, corpus in parts.items() for row in corpus.receipt[key]]


def _description(parts: Mapping[str, PreparedData]) -> str:
    return "; ".join(f"{name}: {corpus.receipt['source']['description']}" for name, corpus in parts.items())


def _part_row(corpus: PreparedData) -> dict[str, Any]:
    """Return what the joined receipt says of a part: whose text it is, how much, and the bigram of it alone."""
    receipt, counts = corpus.receipt, ("documents", "tokens", "bytes", "characters")
    return {
        "fingerprint": corpus.fingerprint,
        "source": receipt["source"],
        "settings": receipt["settings"],
        "splits": {split: {name: row[name] for name in counts} for split, row in receipt["splits"].items()},
        "bigram_bits_per_byte": receipt["bigram_bits_per_byte"],
        **({"dedup": receipt["dedup"]} if "dedup" in receipt else {}),
    }
