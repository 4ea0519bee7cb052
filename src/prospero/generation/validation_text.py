"""Some of what a run was validated on, where its prepared data still lie: to see what a quantised choice costs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prospero.data.shards import TokenShards
from prospero.data.tokenizer.tokenizer import Tokenizer

MEASURED_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class ValidationText:
    """Token ids, and how many bytes each id stands for."""

    ids: Sequence[int]
    token_bytes: np.ndarray
    """UTF-8 bytes of each id, [V]."""

    @property
    def n_bytes(self) -> int:
        """Bytes of the text after its first token, which nothing predicts."""
        return int(self.token_bytes[np.asarray(self.ids[1:])].sum())


def find_validation_text(data_dir: Path, fingerprint: str | None, tokenizer: Tokenizer) -> ValidationText | None:
    """Return the beginning of the validation split of the prepared data with this `fingerprint`; None if not there."""
    for file in sorted(data_dir.glob("*/receipt.json")) if fingerprint else []:
        try:
            receipt = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # of another corpus, for all that can be known; preparing it would say so
        if not isinstance(receipt, dict) or receipt.get("fingerprint") != fingerprint or "val" not in receipt["splits"]:
            continue
        shards = TokenShards(file.parent / receipt["splits"]["val"]["file"])
        ids = shards.tokens(0, MEASURED_TOKENS + 1).tolist()
        text = ValidationText(ids, tokenizer.token_bytes())
        return text if len(ids) > 1 and text.n_bytes else None
    return None
