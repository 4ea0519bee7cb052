"""What is measured of a mixture besides: loss and bits per byte of each part, beside the numbers of all together."""

import math

import numpy as np
import torch
from torch import Tensor

from prospero.batch import Batch
from prospero.evaluation.metrics.base import SUM_DTYPE, MetricFacts, TokenMetric
from prospero.evaluation.metrics.loss_by_source import LossBySource, named_parts, sources_of
from prospero.objective.terms import MeasuredTokens


class LossOfPart(LossBySource):
    """val/loss/<part>: the mean loss of the targets of each part."""

    published = "loss"


class BitsPerByteOfPart(TokenMetric):
    """val/bits_per_byte/<part>: nats / ln 2 / bytes of the targets of each part; `token_bytes` int32 [V].

    Bytes that a tokenizer could not write are counted for no part, so a part with unknown tokens has no number: NaN.
    """

    published = "bits_per_byte"
    nats: Tensor
    text_bytes: Tensor
    unknown: Tensor
    token_bytes: Tensor

    def __init__(self, token_bytes: np.ndarray, names: list[str]) -> None:
        super().__init__()
        self.parts = named_parts(names)
        self.add_sums("nats", "text_bytes", size=len(names))
        self.add_sums("unknown")
        self.register_buffer("token_bytes", torch.from_numpy(np.asarray(token_bytes, dtype=np.int32)), persistent=False)

    def update(self, scores: MeasuredTokens, batch: Batch) -> None:
        """Add the nats and the bytes of a batch to their parts."""
        mask = scores.mask.flatten()
        ids = sources_of(mask, batch)
        n_bytes = self.token_bytes[batch.labels.clamp(min=0)].flatten()
        self.nats.index_add_(0, ids, torch.where(mask, scores.nats.flatten(), 0).to(SUM_DTYPE))
        self.text_bytes.index_add_(0, ids, torch.where(mask, n_bytes, 0).to(SUM_DTYPE))
        if "unknown_bytes" in batch.facts:
            self.unknown += batch.facts["unknown_bytes"]

    def compute(self) -> dict[str, Tensor]:
        """Return the bits of one byte of each part; NaN where a part has no bytes."""
        known = (self.text_bytes > 0) & (self.unknown == 0)
        return dict(zip(self.parts, torch.where(known, self.nats / math.log(2) / self.text_bytes, math.nan).unbind()))


def metrics_of_parts(chosen: list[str], facts: MetricFacts) -> dict[str, TokenMetric]:
    """Return what is measured of each part of a mixture beside the `chosen` metrics; nothing of one corpus."""
    if not facts.by_source:
        return {}
    found: dict[str, TokenMetric] = {"loss_of_part": LossOfPart(facts.source_names)}
    if "bits_per_byte" in chosen:
        found["bits_per_byte_of_part"] = BitsPerByteOfPart(facts.token_bytes, facts.source_names)
    return found
