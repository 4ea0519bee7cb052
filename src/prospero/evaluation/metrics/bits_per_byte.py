"""Bits per byte: how well text is compressed, whatever the tokenizer."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from prospero.batch import Batch
from prospero.evaluation.metrics.base import MetricFacts, TokenMetric, masked_sum
from prospero.objective.terms import MeasuredTokens


@dataclass(kw_only=True, slots=True)
class BitsPerByteConfig:
    """val/bits_per_byte: -log2 p of the text / its UTF-8 bytes; comparable between runs of different tokenizers."""

    def build(self, facts: MetricFacts) -> "BitsPerByte":
        """Return the metric."""
        return BitsPerByte(facts.token_bytes)


class BitsPerByte(TokenMetric):
    """Sum of nats / ln 2 / bytes of the targets; `token_bytes` int32 [V]."""

    nats: Tensor
    text_bytes: Tensor
    token_bytes: Tensor

    def __init__(self, token_bytes: np.ndarray) -> None:
        super().__init__()
        self.add_sums("nats", "text_bytes")
        self.register_buffer("token_bytes", torch.from_numpy(np.asarray(token_bytes, dtype=np.int32)), persistent=False)

    def update(self, scores: MeasuredTokens, batch: Batch) -> None:
        """Add the nats and the bytes of a batch."""
        self.nats += masked_sum(scores.nats, scores.mask)
        self.text_bytes += masked_sum(self.token_bytes[batch.labels.clamp(min=0)], scores.mask)
        if "unknown_bytes" in batch.facts:  # the text counts, whether the tokenizer can write it or not
            self.text_bytes += batch.facts["unknown_bytes"]

    def compute(self) -> Tensor:
        """Return the bits of one byte; NaN when no target has bytes."""
        return torch.where(self.text_bytes > 0, self.nats / math.log(2) / self.text_bytes, math.nan)
