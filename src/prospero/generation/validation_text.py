"""Some of what a run was validated on, where its prepared data still lie: to see what a quantised choice costs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prospero.data.prepare import find_prepared
from prospero.data.receipt import FILE as RECEIPT
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
    folder = find_prepared(data_dir, fingerprint)
    if folder is None:
        return None
    splits = json.loads((folder / RECEIPT).read_text(encoding="utf-8"))["splits"]
    if "val" not in splits:
        return None
    ids = TokenShards(folder / splits["val"]["file"]).tokens(0, MEASURED_TOKENS + 1).tolist()
    text = ValidationText(ids, tokenizer.token_bytes())
    return text if len(ids) > 1 and text.n_bytes else None
