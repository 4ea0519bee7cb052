"""What every metric of texts in the table has to hold: neither batches, their order nor ranks change it."""

import math

import numpy as np
import pytest

from prospero import registry
from prospero.evaluation.metrics.base import MetricFacts
from prospero.evaluation.metrics.text_base import TextMetric, TextSample
from tests.evaluation.metrics.generated_texts import generated_samples

FACTS = MetricFacts(token_bytes=np.zeros(0, np.int32), seq_len=1)
NEEDS_A_SCORER = {"bert_score"}
"""Tested in its own file, where a scorer is made."""
OF_COUNTS = {"bleu", "chrf", "exact_match", "distinct", "repetition", "parses"}
"""Whose sums are whole numbers: equal bit for bit however they are added up. The others are means of fractions."""


def built(name: str):
    return registry.config_class("metrics", name)().build(FACTS)


NAMES = [
    name for name in registry.names("metrics") if name not in NEEDS_A_SCORER and isinstance(built(name), TextMetric)
]


def samples() -> list[TextSample]:
    """Texts with one to four references and with none, some of them Python, each with five predictions and checks."""
    generated = [*generated_samples(30), TextSample(predictions=["x = 1"]), TextSample(predictions=["今天"])]
    return [
        TextSample(
            predictions=[*sample.predictions, *"vwxyz"][:5],
            references=sample.references,
            source="x",
            passed=[(number + place) % (number % 7 + 1) == 0 for place in range(5)],
        )
        for number, sample in enumerate(generated)
    ]


def numbers(metric: TextMetric) -> dict[str, float]:
    found = metric.compute()
    return {name: float(value) for name, value in (found if isinstance(found, dict) else {"": found}).items()}


def fed(name: str, batches: list[list[TextSample]]) -> TextMetric:
    metric = built(name)
    for batch in batches:
        metric.update(batch)
    return metric


def same(name: str, one: dict[str, float], other: dict[str, float]) -> bool:
    return one == (other if name in OF_COUNTS else pytest.approx(other, rel=1e-14, abs=0))


@pytest.mark.parametrize("name", NAMES)
def test_batches_of_one_and_of_sixteen_in_any_order_give_the_same_numbers(name):
    all_ = samples()
    whole = numbers(fed(name, [all_]))
    assert all(math.isfinite(value) for value in whole.values())
    for batches in ([[sample] for sample in all_], [all_[:16], [], all_[16:]], [all_[::-1]]):
        assert same(name, numbers(fed(name, batches)), whole)


@pytest.mark.parametrize("name", NAMES)
def test_a_row_of_statistics_does_not_depend_on_the_samples_beside_it(name):
    metric, all_ = built(name), samples()
    rows = metric.statistics(all_)
    assert rows.shape == (len(all_), metric.n_statistics) and rows.dtype == np.float64
    alone = np.concatenate([metric.statistics([sample]) for sample in all_[::-1]])[::-1]
    assert (rows == alone).all()
    assert metric.statistics([]).shape == (0, metric.n_statistics)


@pytest.mark.parametrize("name", NAMES)
def test_two_objects_summed_are_one_and_a_reset_begins_again(name):
    whole, (first, second) = fed(name, [samples()]), (fed(name, [half]) for half in (samples()[:11], samples()[11:]))
    first.sums = first.sums + second.sums
    assert same(name, numbers(first), numbers(whole))
    second.reset()
    second.update(samples())
    assert numbers(second) == numbers(whole)


@pytest.mark.parametrize("name", NAMES)
def test_its_quantities_are_its_numbers_and_rows_of_sums_are_finished_at_once(name):
    metric = built(name)
    assert metric.name == name
    metric.update(samples())
    sums = metric.sums.numpy()
    found = numbers(metric)
    for quantity in metric.quantities:
        published = quantity.name if metric.parts else ""
        assert quantity.finish(np.stack([sums, sums])).tolist() == [found[published]] * 2
        assert quantity.name.startswith(name) and quantity.higher_is_better is metric.higher_is_better
        assert np.isnan(quantity.finish(np.zeros((2, metric.n_statistics)))).all()  # nothing was measured


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("texts", [("", ""), ("", "a b"), ("a b", ""), ("无", "今天天气"), ("\ud800", "\0")], ids=str)
def test_odd_texts_have_a_number_or_none_but_no_error(name, texts):
    metric = built(name)
    rows = metric.statistics([TextSample(predictions=[texts[0]] * 5, references=[texts[1]], passed=[False] * 5)])
    assert np.isfinite(rows).all()
    values = metric.finish(rows)
    assert ((values >= 0) & (values <= 100) | np.isnan(values)).all()
