"""The text that all checkpoints of a run are read on: its own validation text, the same sequences each time.

Shapes: S sequences, T tokens of each, N targets among them, n tokens whose activations are kept, D dimensions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from prospero.batch import IGNORE_INDEX
from prospero.data.packing.evaluation import evaluation_packing
from prospero.data.prepare import open_prepared
from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.errors import ConfigError
from prospero.evaluation.bounds import bounded
from prospero.model.base import LanguageModel
from prospero.model.hooks import record
from prospero.objective.losses.cross_entropy import CrossEntropyConfig
from prospero.objective.terms import measured_tokens

SPLIT = "val"
ROWS_AT_ONCE = 8
LOGITS_AT_ONCE = 2**25
"""Logits held at a time: 128 MB of float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one model made of the text."""

    nats: np.ndarray
    """float32 [N]: -log p of each target."""
    activations: dict[str, Tensor]
    """Point -> [n, D] in float32, of the same n tokens whatever the model."""


class FixedText:
    """Sequences of a split, evenly spread as a validation's; a validation of as many reads the same."""

    def __init__(self, folder: Path, *, seq_len: int, document_ids: bool, tokens: int | None, activations: int) -> None:
        prepared = open_prepared(folder)
        if SPLIT not in prepared.splits:
            raise ConfigError(f"{folder} has no validation text; give tokens=0 to look at the weights alone")
        shards = prepared.splits[SPLIT]
        shards.verify(prepared.receipt["splits"][SPLIT]["digest"])
        self.tokenizer: Tokenizer = prepared.tokenizer
        packing = evaluation_packing(shards, seq_len, document_ids=document_ids)
        asked = None if tokens is None else max(1, tokens // seq_len)
        self.of_sequences = len(packing)
        n = bounded(asked, of_sequences=self.of_sequences, seq_len=seq_len, trained_tokens=None)
        sequences = np.linspace(0, self.of_sequences - 1, n).round().astype(np.int64)
        arrays = packing.read(sequences)
        self.input_ids, self.labels = (torch.from_numpy(arrays[name]) for name in ("input_ids", "labels"))
        self.document_ids = torch.from_numpy(arrays["document_ids"])
        self.mark = (prepared.fingerprint, seq_len, n, document_ids)
        """Texts of equal marks hold the same tokens in the same places."""
        self.chosen = self._spread_tokens(activations)  # bool [S, T]

    @property
    def n_sequences(self) -> int:
        """S."""
        return len(self.input_ids)

    @property
    def targets(self) -> np.ndarray:
        """Ids of the N targets, int64 [N]."""
        return self.labels[self.labels != IGNORE_INDEX].numpy()

    @property
    def follows(self) -> np.ndarray:
        """bool [N]: whether a target stands directly after the one before it, in the same sequence."""
        mask = self.labels != IGNORE_INDEX
        before = torch.zeros_like(mask)
        before[:, 1:] = mask[:, :-1]
        return before[mask].numpy()

    def read(self, model: LanguageModel, points: Sequence[str]) -> Reading:
        """Let `model` (in evaluation mode) read all of it, in float32; keep the activations at `points`."""
        nats, kept = [], {point: [] for point in points}
        losses = [CrossEntropyConfig().build()]
        chunk = max(1, LOGITS_AT_ONCE // model.vocab_size)
        for start in range(0, self.n_sequences, ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            labels, chosen = self.labels[part].to(model.device), self.chosen[part]
            inputs = {"input_ids": self.input_ids[part].to(model.device)}
            if model.reads_document_ids:
                inputs["document_ids"] = self.document_ids[part].to(model.device)
            with torch.inference_mode(), record(model, points) as found:
                output = model(**inputs, logits=False)
                scores = measured_tokens(losses, model.project, output, labels, frozenset(), chunk_tokens=chunk)
                for point in points:
                    kept[point].append(_rows(point, found[point], chosen))
            nats.append(scores.nats[scores.mask].float().cpu())
        return Reading(nats=torch.cat(nats).numpy(), activations={p: torch.cat(rows) for p, rows in kept.items()})

    def _spread_tokens(self, n: int) -> Tensor:
        """Return which tokens' activations are kept: `n` evenly spread ones, none of them the first of its sequence.

        That one has no context, and in many models activations a hundred times as long as others' (Sun et al. 2024,
        arXiv:2402.17762), which alone would decide every similarity.
        """
        allowed = (self.labels != IGNORE_INDEX).clone()
        allowed[:, 0] = False
        places = allowed.flatten().nonzero().squeeze(1)
        picks = torch.linspace(0, len(places) - 1, min(n, len(places)), dtype=torch.float64).round().long()
        chosen = torch.zeros_like(allowed).flatten()
        chosen[places[picks]] = True
        return chosen.view_as(allowed)


def _rows(point: str, activations: Tensor, chosen: Tensor) -> Tensor:
    """Return [n, D] of activations [B, T, ...]; ConfigError for a point whose second dimension is not the tokens."""
    if activations.shape[:2] != chosen.shape:
        raise ConfigError(
            f"points=[{point}] has the shape {list(activations.shape)}; similarity needs one vector a token, "
            "[B, T, D], such as block.*.residual"
        )
    return activations.flatten(2)[chosen.to(activations.device)].float().cpu()
