"""`prepare`: clean, de-duplicate, split and tokenise text into memory-mapped shards with a receipt."""

from typing import TYPE_CHECKING

from prospero.data.settings import PrepareConfig

if TYPE_CHECKING:
    from prospero.data.prepare import PreparedData


def prepare(config: PrepareConfig) -> int:
    """Prepare the data and print the receipt in short; the files lie in the cache folder."""
    from prospero import log
    from prospero.data.prepare import prepare as prepare_now

    log.configure()
    prepared = prepare_now(config)
    for line in describe(prepared):
        print(line)
    return 0


def prepare_data(config: PrepareConfig) -> "PreparedData":
    """Return the prepared data of a configuration, made now unless they lie ready."""
    from prospero.data.prepare import prepare as prepare_now

    return prepare_now(config)


def describe(prepared: "PreparedData") -> list[str]:
    """Return the receipt in a few lines: what was read, kept and dropped, the splits, and the bigram to beat."""
    receipt = prepared.receipt
    documents, sizes = receipt["documents"], receipt["bytes"]
    lines = [
        f"source        {receipt['source']['description']}",
        f"read          {documents['read']:,} documents, {sizes['read'] / 1e6:.2f} MB",
        f"kept          {documents['kept']:,} documents, {sizes['kept'] / 1e6:.2f} MB"
        f" ({documents['duplicate']:,} duplicates, {documents['dropped']:,} dropped by cleaning)",
    ]
    lines += [f"  dropped     {row['documents']:,} by {row['step']}: {row['reason']}" for row in receipt["dropped"]]
    lines += [f"  repaired    {count:,} x {reason}" for reason, count in receipt["repairs"].items()]
    for name, row in receipt["splits"].items():
        lines.append(f"{name:<13} {row['tokens']:,} tokens, {row['bytes'] / 1e6:.2f} MB")
    tokens = sum(row["tokens"] for row in receipt["splits"].values())
    n_bytes = sum(row["bytes"] for row in receipt["splits"].values())
    lines += [
        f"vocabulary    {receipt['tokenizer']['vocab_size']:,} tokens, {n_bytes / tokens:.2f} bytes per token",
        f"bigram model  {receipt['bigram_bits_per_byte']:.3f} bits per byte on val (the floor to beat)",
        f"fingerprint   {receipt['fingerprint']}",
        f"folder        {prepared.directory}",
    ]
    return lines
