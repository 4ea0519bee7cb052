"""What a teacher said of every position of the training sequences, in a folder: its k likeliest tokens.

    receipt.json     of which teacher, data, packing, length, temperature it is
    ids.npy          uint16 or uint32 [S, T, k]: the likeliest tokens, the likeliest first
    log_probs.npy    float16 [S, T, k + 1]: their log-probabilities, and at the end that of all other tokens together
    manifest.json    sizes and SHA-256 of the files

Sequence s is the s-th of the packing, whatever order a run reads them in. The folder appears whole or not at all.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prospero.checkpoints.manifest import verify_folder
from prospero.checkpoints.model_folder import read_json
from prospero.checkpoints.run_checkpoints import check_types
from prospero.errors import ConfigError, DataError

FORMAT_VERSION = 1
RECEIPT, IDS_FILE, LOG_PROBS_FILE = "receipt.json", "ids.npy", "log_probs.npy"
_TYPES = {
    "format_version": int, "teacher": Mapping, "data": str, "tokenizer": str, "packing": Mapping, "seq_len": int,
    "temperature": float, "top_k": int, "vocabulary": int, "sequences": int, "precision": str,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """What decides the numbers of a store; written down as its receipt."""

    teacher: dict[str, Any]
    """The receipt of the teacher (`Source.plain`)."""
    data: str
    """Fingerprint of the prepared data."""
    tokenizer: str
    """Its tokenizer's fingerprint."""
    packing: dict[str, Any]
    """The packing's name and settings."""
    seq_len: int
    """Tokens of a sequence."""
    temperature: float
    """The temperature of the probabilities."""
    top_k: int
    """Tokens of each position."""
    vocabulary: int
    """Tokens of the tokenizer."""
    sequences: int
    """Training sequences."""
    precision: str
    """What the teacher computed in."""

    def plain(self) -> dict[str, Any]:
        """Return the receipt."""
        return {"format_version": FORMAT_VERSION, **{name: getattr(self, name) for name in self.__slots__}}

    @property
    def fingerprint(self) -> str:
        """Hash of what decides the numbers; the place of the teacher does not."""
        decides = self.plain() | {"teacher": self.teacher["fingerprint"]}
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


class TeacherStore:
    """A finished store: called with numbers of sequences it returns their facts. Instances are picklable."""

    def __init__(self, folder: Path, facts: StoreFacts) -> None:
        self.folder, self.facts = folder, facts
        self._map()

    @classmethod
    def open(cls, folder: Path, *, verify: bool = True) -> "TeacherStore":
        """Open what `write_store` wrote; `verify` compares every file with its hash. DataError when it is no store."""
        if not (folder / RECEIPT).is_file():
            raise DataError(f"{folder} is no store of what a teacher said (no {RECEIPT}); prospero distill writes one")
        if verify:
            verify_folder(folder)
        receipt = read_json(folder / RECEIPT)
        if receipt.get("format_version") != FORMAT_VERSION:
            found = receipt.get("format_version")
            raise DataError(f"{folder} has format version {found}, this program reads {FORMAT_VERSION}; write it again")
        check_types(receipt, _TYPES, folder / RECEIPT)
        missing = _TYPES.keys() - receipt.keys()
        if missing:
            raise DataError(f"{folder / RECEIPT} is damaged: it lacks '{min(missing)}'")
        return cls(folder, StoreFacts(**{name: receipt[name] for name in StoreFacts.__slots__}))

    def __call__(self, sequences: np.ndarray) -> dict[str, np.ndarray]:
        """Return teacher_ids int32 [B, T, k] and teacher_log_probs float16 [B, T, k + 1] of the sequences [B]."""
        return {
            "teacher_ids": self._ids[sequences].astype(np.int32),
            "teacher_log_probs": np.asarray(self._log_probs[sequences]),
        }

    def _map(self) -> None:
        try:
            self._ids = np.load(self.folder / IDS_FILE, mmap_mode="r")
            self._log_probs = np.load(self.folder / LOG_PROBS_FILE, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise DataError(f"{self.folder} is damaged ({error}); write it again with prospero distill") from error

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "facts": self.facts}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._map()


def check_store(store: TeacherStore, now: StoreFacts) -> None:
    """Raise ConfigError, in one line, where `store` is of other data, packing, length or temperature than a run's."""
    then = store.facts
    for name, word in (
        ("tokenizer", "tokenizer of fingerprint "),
        ("data", "data of fingerprint "),
        ("packing", "packing "),
        ("seq_len", "seq_len="),
        ("temperature", "loss.distill.temperature="),
    ):
        before, after = getattr(then, name), getattr(now, name)
        if before != after:
            shown = [str(value)[:12] if isinstance(value, str) else str(value) for value in (before, after)]
            raise ConfigError(
                f"{store.folder} was written for {word}{shown[0]}, and this run has {shown[1]}; give the settings of "
                "then, or write a store of these with prospero distill"
            )
    if then.sequences < now.sequences:
        raise ConfigError(
            f"{store.folder} holds {then.sequences} training sequences, and this run reads {now.sequences}; give "
            f"train_sequences={then.sequences}, or write a store of all with prospero distill"
        )
