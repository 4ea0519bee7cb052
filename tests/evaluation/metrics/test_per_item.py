"""Metrics of tokens item by item: the sums of all items give what the metric gives of all tokens."""

import math

import numpy as np
import pytest
import torch

from prospero import registry
from prospero.batch import Batch
from prospero.errors import ConfigError
from prospero.evaluation.metrics.base import MetricFacts, TokenMetric
from prospero.evaluation.metrics.per_item import PerItem, one_row
from prospero.objective.terms import MeasuredTokens

V, T, N = 11, 6, 9
FACTS = MetricFacts(token_bytes=np.arange(V, dtype=np.int32) % 4, seq_len=T, source_names=["a b", "c"])


def is_of_tokens(name: str) -> bool:
    try:
        metric = registry.config_class("metrics", name)().build(FACTS)
        return isinstance(metric, TokenMetric) and not metric.of_pairs
    except ConfigError:  # it looks for a model of its own (bert_score)
        return False


NAMES = [name for name in registry.PARTS["metrics"] if is_of_tokens(name)]


def batch_of(labels, sources):
    return Batch(
        inputs={"input_ids": labels.clamp(min=0)},
        labels=labels,
        facts={"source_ids": sources},
        sequences=len(labels),
        tokens=labels.numel(),
        target_tokens=int((labels >= 0).sum()),
    )


@pytest.fixture
def data():
    """Scores and batch of N sequences, the last of them short."""
    torch.manual_seed(0)
    labels = torch.randint(V, (N, T))
    labels[-1, 3:] = -100
    nats = torch.rand(N, T) * 3
    scores = MeasuredTokens(labels != -100, nats, nats, torch.randint(V, (N, T)), torch.rand(N, T), torch.rand(N, T, V))
    return scores, batch_of(labels, torch.randint(2, (N, T)))


def rows_of(per_item, scores, batch):
    found: dict[str, list[list[float]]] = {quantity.name: [] for quantity in per_item.quantities}
    for row in range(N):
        alone = batch_of(batch.labels[row : row + 1], batch.facts["source_ids"][row : row + 1])
        for name, statistics in per_item.statistics(one_row(scores, row), alone):
            found[name].append(statistics)
    return {name: np.array(rows) for name, rows in found.items()}


@pytest.mark.parametrize("name", NAMES)
def test_the_sums_of_all_items_give_the_metric_of_all_tokens(name, data):
    scores, batch = data
    metric, per_item = (registry.config_class("metrics", name)().build(FACTS) for _ in range(2))
    metric.update(scores, batch)
    whole = metric.compute()
    expected = {f"{name}/{part}": float(value) for part, value in whole.items()} if metric.parts else {name: whole}
    items = PerItem(name, per_item)
    rows = rows_of(items, scores, batch)
    assert list(rows) == [quantity.name for quantity in items.quantities] == list(expected)
    for quantity in items.quantities:
        assert quantity.higher_is_better == metric.higher_is_better
        found = float(quantity.finish(rows[quantity.name].sum(axis=0)))
        assert found == pytest.approx(float(expected[quantity.name]), rel=1e-12, nan_ok=True)


@pytest.mark.parametrize("name", NAMES)
def test_numbers_of_many_rows_are_those_of_each(name, data):
    items = PerItem(name, registry.config_class("metrics", name)().build(FACTS))
    for quantity in items.quantities:
        rows = rows_of(items, *data)[quantity.name]
        together = quantity.finish(rows)
        assert together.shape == (N,)
        np.testing.assert_array_equal(together, [quantity.finish(row) for row in rows])
        assert quantity.finish(rows.reshape(3, 3, -1)).shape == (3, 3)


def test_a_part_is_given_its_own_sums_alone(data):
    items = PerItem("loss_by_position", registry.config_class("metrics", "loss_by_position")().build(FACTS))
    rows = rows_of(items, *data)
    assert all(row.shape == (N, 2) for row in rows.values()) and len(rows) == 3
    assert rows["loss_by_position/0"][:, 1].tolist() == [1.0] * N


class OfAll(TokenMetric):
    """A formula that does not work row by row: it mixes what it is given at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.add_sums("total", "targets")

    def update(self, scores, batch):
        self.total += scores.nats.sum()
        self.targets += scores.mask.sum()

    def compute(self):
        return self.total / self.targets.max()


def test_a_formula_that_mixes_rows_is_computed_row_by_row(data):
    items = PerItem("mixed", OfAll())
    rows = rows_of(items, *data)["mixed"]
    np.testing.assert_array_equal(items.quantities[0].finish(rows), rows[:, 0] / rows[:, 1])
    assert rows[-1, 1] == 3


def test_nothing_measured_is_nan():
    items = PerItem("bits_per_byte", registry.config_class("metrics", "bits_per_byte")().build(FACTS))
    assert math.isnan(float(items.quantities[0].finish(np.zeros(2))))
