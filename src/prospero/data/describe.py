"""Prepared data in a few lines, for the screen and the report."""

from collections.abc import Mapping
from typing import Any

from prospero.data.prepare import PreparedData
from prospero.data.unknown import describe_unknown
from prospero.printable import printable


def describe(prepared: PreparedData) -> list[str]:
    """Return the receipt in a few lines, and the folder of the data."""
    return [*receipt_lines(prepared.receipt), printable(f"folder        {prepared.directory}")]


def receipt_lines(receipt: Mapping[str, Any]) -> list[str]:
    """Return a receipt in a few lines: what was read, kept and dropped, the splits, and the bigram to beat."""
    documents, sizes = receipt["documents"], receipt["bytes"]
    lines = [
        f"source        {receipt['source']['description']}",
        f"read          {documents['read']:,} documents, {sizes['read'] / 1e6:.2f} MB",
        f"kept          {documents['kept']:,} documents, {sizes['kept'] / 1e6:.2f} MB"
        f" ({documents['duplicate']:,} duplicates, {documents['dropped']:,} dropped by cleaning)",
    ]
    lines += _of_dedup(receipt.get("dedup"))
    lines += [f"  dropped     {row['documents']:,} by {row['step']}: {row['reason']}" for row in receipt["dropped"]]
    lines += [f"  repaired    {count:,} x {reason}" for reason, count in receipt["repairs"].items()]
    for name, row in receipt["splits"].items():
        lines.append(f"{name:<13} {row['tokens']:,} tokens, {row['bytes'] / 1e6:.2f} MB")
    for name, part in receipt.get("parts", {}).items():
        train = part["splits"]["train"]
        lines.append(
            f"part {name:<8} {train['tokens']:,} tokens of train, {train['bytes'] / 1e6:.2f} MB; bigram model of it "
            f"alone {part['bigram_bits_per_byte']:.3f} bits per byte"
        )
    if planted := receipt.get("canaries"):
        lines.append(f"canaries      {planted['count']:,} secrets, {planted['copies']:,} copies of each, in train")
    if said := describe_unknown(receipt["splits"]):
        lines.append(f"unknown       {said}: <unk> to the tokenizer")
    tokens = sum(row["tokens"] for row in receipt["splits"].values())
    n_bytes = sum(row["bytes"] for row in receipt["splits"].values())
    lines += [
        f"vocabulary    {receipt['tokenizer']['vocab_size']:,} tokens, {n_bytes / tokens:.2f} bytes per token",
        f"bigram model  {receipt['bigram_bits_per_byte']:.3f} bits per byte on val (the floor to beat)",
        f"fingerprint   {receipt['fingerprint']}",
    ]
    return list(map(printable, lines))


def _of_dedup(found: Mapping[str, Any] | None) -> list[str]:
    """Return what a de-duplication says of itself beside the number of duplicates."""
    if found is None:
        return []
    if found["method"] == "minhash":
        largest = found["largest"][0]["documents"] if found["largest"] else 0
        return [f"  near copies {found['clusters']:,} clusters, the largest of {largest:,} documents"]
    return [
        f"  repeated    {found['removed']:,} of {found['looked_at']:,} {found['method']} removed"
        f" ({found['characters_removed'] / 1e6:.2f} M characters, {found['documents_shortened']:,} documents shortened)"
    ]
