"""Every metric's numbers by hand, and what all of the table have to hold: neither batches nor ranks change them."""

import math
import re

import numpy as np
import pytest
import torch

from prospero import registry
from prospero.batch import Batch
from prospero.errors import ConfigError
from prospero.evaluation.metrics.base import MetricFacts, TokenMetric
from prospero.evaluation.metrics.collection import TokenMetrics, check_monitor, refuse_text_metrics, text_metrics_of
from prospero.evaluation.metrics.loss_by_position import LossByPositionConfig, ranges_of_positions
from prospero.objective.terms import MeasuredTokens

FACTS = MetricFacts(token_bytes=np.array([1, 2, 3, 4], np.int32), seq_len=3, source_names=["a b/c", "d"])
LABELS = torch.tensor([[0, 1, -100], [3, -100, 2]])
NATS = torch.tensor([[1.0, 2.0, 99.0], [3.0, 99.0, 4.0]])
SOURCES = torch.tensor([[0, 0, 0], [1, 1, 1]], dtype=torch.int32)


def built(name: str):
    return registry.config_class("metrics", name)().build(FACTS)


NEEDS_A_RUN = "bert_score"
"""Is built where there is a trained run; a metric of texts."""
CHOSEN = {name: built(name) for name in registry.names("metrics") if name != NEEDS_A_RUN}
OF_TOKENS = [name for name, metric in CHOSEN.items() if isinstance(metric, TokenMetric) and not metric.of_pairs]


def scores(rows: slice = slice(None)) -> tuple[MeasuredTokens, Batch]:
    labels, nats = LABELS[rows], NATS[rows]
    predicted = torch.tensor([[0, 3, 0], [3, 0, 1]])[rows]
    logits = torch.zeros(*labels.shape, 4)
    measured = MeasuredTokens(labels != -100, nats, 10 * nats, predicted, 0.5 * nats, logits)
    batch = Batch(
        inputs={"input_ids": labels.clamp(min=0)},
        labels=labels,
        facts={"source_ids": SOURCES[rows]},
        sequences=len(labels),
        tokens=labels.numel(),
        target_tokens=int((labels != -100).sum()),
    )
    return measured, batch


def values(metrics: TokenMetrics) -> dict[str, float]:
    return metrics.compute("val")


def everything() -> TokenMetrics:
    return TokenMetrics({name: built(name) for name in OF_TOKENS})


EXPECTED = {
    "val/loss": 10 * (1 + 2 + 3 + 4) / 4,
    "val/perplexity": math.exp(2.5),
    "val/bits_per_byte": 10 / math.log(2) / (1 + 2 + 4 + 3),
    "val/accuracy": 2 / 4,
    "val/loss_by_position/0": 10 * (1 + 3) / 2,
    "val/loss_by_position/1-2": 10 * (2 + 4) / 2,
    "val/loss_by_source/a_b_c": 10 * (1 + 2) / 2,
    "val/loss_by_source/d": 10 * (3 + 4) / 2,
}


def test_the_numbers_are_those_worked_out_by_hand():
    metrics = everything()
    for metric in metrics.members.values():
        metric.update(*scores())
    assert values(metrics) == pytest.approx(EXPECTED)


def test_batches_of_any_size_give_the_same_numbers_and_a_reset_begins_again():
    metrics = everything()
    for _ in range(2):
        metrics.reset()
        for row in range(2):
            for metric in metrics.members.values():
                metric.update(*scores(slice(row, row + 1)))
        assert values(metrics) == pytest.approx(EXPECTED)


@pytest.mark.parametrize("name", OF_TOKENS)
def test_every_metric_says_which_way_is_better_and_what_it_reads(name):
    metric = built(name)
    assert isinstance(metric.higher_is_better, bool) and metric.reads <= {"predicted", "entropy", "logits"}
    metric.update(*scores())
    found = metric.compute()
    assert (set(found) == set(metric.parts)) if isinstance(found, dict) else not metric.parts


@pytest.mark.parametrize("name", OF_TOKENS)
def test_sums_run_they_do_not_pile_up(name):
    metric = built(name)
    sizes = []
    for _ in range(5):
        metric.update(*scores())
        sizes.append(sum(value.numel() for value in metric.metric_state.values()))
    assert len(set(sizes)) == 1 and all(isinstance(value, torch.Tensor) for value in metric.metric_state.values())


def test_what_was_not_measured_is_left_out():
    measured, batch = scores()
    measured.mask[:] = False
    metrics = everything()
    for metric in metrics.members.values():
        metric.update(measured, batch)
    assert list(values(metrics)) == ["val/loss"] and math.isnan(values(metrics)["val/loss"])


def test_a_perplexity_beyond_numbers_is_the_largest():
    metric = built("perplexity")
    measured, batch = scores()
    measured.nats[:] = 1e6
    metric.update(measured, batch)
    assert metric.compute().item() == pytest.approx(math.exp(700))


def test_the_loss_is_measured_whatever_is_chosen():
    metrics = TokenMetrics({"accuracy": built("accuracy")})
    assert metrics.names() == ["val/loss", "val/accuracy"]


def test_the_monitor_knows_its_direction_and_a_typo_is_told():
    metrics = everything()
    assert metrics.monitor("val/accuracy").higher_is_better and not metrics.monitor("val/loss").higher_is_better
    assert metrics.monitor("val/loss_by_source/d").name == "val/loss_by_source/d"
    with pytest.raises(ConfigError, match=r"monitor=val/acuracy is not measured. Did you mean 'val/accuracy'\?"):
        metrics.monitor("val/acuracy")
    with pytest.raises(ConfigError, match=r"monitor=val/accuracy is not measured.*choose more with metrics=\[...\]"):
        TokenMetrics({}).monitor("val/accuracy")


def test_before_the_data_are_there_the_metric_of_the_monitor_is_known_and_its_parts_are_not():
    chosen = {name: registry.config_class("metrics", name)() for name in ("accuracy", "loss_by_source")}
    for name in ("val/loss", "val/accuracy", "val/loss_by_source/d"):
        check_monitor(name, chosen)
    near = " Did you mean 'val/accuracy'?"
    for name, hint in {"val/acuracy": near, "test/loss": "", "loss": " Did you mean 'val/loss'?"}.items():
        with pytest.raises(
            ConfigError, match=re.escape(f"monitor={name} is not measured.{hint} Measured are val/loss")
        ):
            check_monitor(name, chosen)
    check_monitor("val/perplexity", None)
    with pytest.raises(ConfigError, match="Measured are val/loss, val/perplexity, val/bits_per_byte; choose more"):
        check_monitor("val/accuracy", None)


def test_metrics_of_texts_are_told_apart_and_refused_where_nothing_writes():
    chosen = {name: registry.config_class("metrics", name)() for name in ("accuracy", "rouge", "parses")}
    assert list(text_metrics_of(chosen)) == ["rouge", "parses"] and text_metrics_of(None) == {}
    assert TokenMetrics.build(chosen, FACTS).names() == ["val/loss", "val/accuracy"]
    with pytest.raises(ConfigError, match=r"names rouge, parses, which measure texts that a model writes, and nothing"):
        refuse_text_metrics(chosen)
    refuse_text_metrics({"accuracy": chosen["accuracy"]})
    refuse_text_metrics(None)


def test_ranges_of_positions():
    assert ranges_of_positions(256, 4) == [(0, 0), (1, 3), (4, 15), (16, 63), (64, 255)]
    assert ranges_of_positions(1, 4) == [(0, 0)]
    assert ranges_of_positions(6, 2) == [(0, 0), (1, 1), (2, 3), (4, 5)]
    with pytest.raises(ConfigError, match="growth=1 does not widen"):
        LossByPositionConfig(growth=1)
