"""What a tokenizer cannot write: how much of each split became <unk>, and the bytes that such a token stands for."""

from collections.abc import Mapping
from typing import Any

from prospero.log import log

WARNED_SHARE = 0.01
"""Share of unknown tokens in a split from which a preparation warns."""


def describe_unknown(splits: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Return for example "900 tokens of train (0.01 %), 11 of val (11.20 %)"; None when everything could be written."""
    found = {name: row for name, row in splits.items() if row["unknown_tokens"]}
    parts = [
        f"{row['unknown_tokens']:,} of {name} ({100 * row['unknown_tokens'] / row['tokens']:.2f} %)"
        for name, row in found.items()
    ]
    return ", ".join(parts) or None


def say_unknown(splits: Mapping[str, Mapping[str, Any]]) -> None:
    """Log the share of unknown tokens, as a warning from `WARNED_SHARE` on."""
    said = describe_unknown(splits)
    if said is None:
        return
    if max(row["unknown_tokens"] / max(1, row["tokens"]) for row in splits.values()) < WARNED_SHARE:
        log.info("unknown to the tokenizer (<unk>): %s", said)
    else:
        log.warning(
            "Unknown to the tokenizer (<unk>): %s. The model neither reads nor writes this text; choose tokenizer=bpe "
            "or byte, which write everything, or split=hash, which gives training text of every kind.",
            said,
        )


def bytes_per_unknown(row: Mapping[str, Any]) -> float:
    """Return the mean UTF-8 bytes that an unknown token of a split stands for; `row` is the split's in the receipt."""
    return row["unknown_bytes"] / row["unknown_tokens"] if row["unknown_tokens"] else 0.0
