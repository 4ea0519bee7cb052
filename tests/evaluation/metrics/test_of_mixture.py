"""Loss and bits per byte of each part of a mixture, by hand, beside those of all together."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from prospero.batch import Batch
from prospero.evaluation.metrics.base import MetricFacts
from prospero.evaluation.metrics.bits_per_byte import BitsPerByteConfig
from prospero.evaluation.metrics.collection import TokenMetrics
from prospero.evaluation.metrics.loss import LossMetricConfig
from prospero.objective.terms import MeasuredTokens

FACTS = MetricFacts(token_bytes=np.array([1, 2, 3, 4], np.int32), seq_len=3, source_names=["a b/c", "d"])
CHOSEN = {"loss": LossMetricConfig(), "bits_per_byte": BitsPerByteConfig()}


def scores(rows):
    """Return a row of two, the first of source 0, the second of source 1, each with two targets."""
    labels = torch.tensor([[0, 1, -100], [3, -100, 2]])[rows]
    nats = torch.tensor([[1.0, 2.0, 99.0], [3.0, 99.0, 4.0]])[rows]
    facts = {"source_ids": torch.tensor([[0, 0, 0], [1, 1, 1]], dtype=torch.int32)[rows]}
    inputs = {"input_ids": labels.clamp(min=0)}
    batch = Batch(inputs=inputs, labels=labels, facts=facts, sequences=1, tokens=3, target_tokens=2)
    return MeasuredTokens(labels != -100, nats, 10 * nats, None, None, None), batch


def measured(facts, chosen, **of_batch):
    metrics = TokenMetrics.build(chosen, facts)
    for rows in (slice(0, 1), slice(1, 2)):
        tokens, batch = scores(rows)
        batch.facts = {**batch.facts, **of_batch}
        for metric in metrics.members.values():
            metric.update(tokens, batch)
    return metrics


def test_of_a_mixture_each_part_has_its_numbers():
    metrics = measured(replace(FACTS, by_source=True), CHOSEN)
    assert metrics.compute("val") == pytest.approx(
        {
            "val/loss": 25.0,
            "val/bits_per_byte": 10 / math.log(2) / 10,
            "val/loss/a_b_c": 10 * (1 + 2) / 2,
            "val/loss/d": 10 * (3 + 4) / 2,
            "val/bits_per_byte/a_b_c": 3 / math.log(2) / (1 + 2),
            "val/bits_per_byte/d": 7 / math.log(2) / (4 + 3),
        }
    )
    assert set(metrics.names()) == set(metrics.compute("val"))
    assert metrics.monitor("val/loss/d").higher_is_better is False
    assert metrics.directions()["val/bits_per_byte/d"] is False


def test_of_one_corpus_and_of_what_is_not_chosen_there_is_nothing():
    assert set(measured(FACTS, CHOSEN).compute("val")) == {"val/loss", "val/bits_per_byte"}
    found = measured(replace(FACTS, by_source=True), {}).compute("test")
    assert set(found) == {"test/loss", "test/loss/a_b_c", "test/loss/d"}


def test_where_text_could_not_be_written_no_part_has_bits_per_byte():
    found = measured(replace(FACTS, by_source=True), CHOSEN, unknown_bytes=torch.tensor(2.0)).compute("val")
    assert "val/bits_per_byte" in found
    assert not [name for name in found if name.startswith("val/bits_per_byte/")]
