"""Two runs over the items of one evaluation: the rows of samples.jsonl, and the function that makes the number of them.

The file holds sums, not functions: which function of them a quantity is, is tried out, and taken when it makes exactly
the number that the evaluation has written for both runs.
"""

import math
from collections.abc import Iterator

import numpy as np

from prospero import registry
from prospero.evaluation.measurement import ratio
from prospero.evaluation.metrics.base import MetricFacts
from prospero.evaluation.metrics.text_base import TextMetric
from prospero.evaluation.samples_file import read_samples
from prospero.evaluation.statistics.bootstrap import Finish, paired_difference
from prospero.runs.comparison.evaluations import Evaluated
from prospero.runs.comparison.runs import FinishedRun
from prospero.runs.comparison.verdicts import OverSamples


def over_samples(a: FinishedRun, b: FinishedRun, metric: str) -> OverSamples | None:
    """Return the difference of two runs by `<task>/<quantity>`; None where they were not measured on the same items."""
    task, _, quantity = metric.partition("/")
    one, other = a.evaluations.get(task), b.evaluations.get(task)
    if one is None or other is None or one.facts != other.facts:
        return None
    rows_a, rows_b = _rows(one, quantity), _rows(other, quantity)
    if len(rows_a) < 2 or list(rows_a) != list(rows_b):
        return None
    of_a, of_b = np.array(list(rows_a.values())), np.array(list(rows_b.values()))
    finish = _finish(quantity, [(of_a, one.values[quantity]), (of_b, other.values[quantity])])
    if finish is None:
        return None
    value, low, high, p = paired_difference(of_a, of_b, finish)
    return OverSamples(value=value, low=low, high=high, p=p, items=len(of_a))


def _rows(found: Evaluated, quantity: str) -> dict[int, list[float]]:
    """Return item -> its statistics, in the order of the items."""
    lines = [line for line in read_samples(found.folder) if line.task == found.task]
    rows = {line.outcome.item: list(line.outcome.statistics[quantity]) for line in lines}
    return dict(sorted(rows.items()))


def _finish(quantity: str, measured: list[tuple[np.ndarray, float]]) -> Finish | None:
    for width, finish in _known(quantity, measured[0][0].shape[1]):
        fits = [
            rows.shape[1] == width and math.isclose(float(finish(rows.sum(axis=0))), value, rel_tol=1e-6, abs_tol=1e-12)
            for rows, value in measured
        ]
        if all(fits):
            return finish
    return None


def _known(quantity: str, columns: int) -> Iterator[tuple[int, Finish]]:
    """Yield (statistics, function) of what a quantity of this name and so many `columns` of sums may be.

    The metrics come last: one that scores by a model (bert_score) cannot be built where there is no such run.
    """
    yield 2, ratio
    yield 2, lambda sums: np.exp(ratio(sums))
    yield 2, lambda sums: ratio(sums) / math.log(2)
    for place in range(columns - 1 if columns > 2 else 0):  # one of several means over the same count
        yield columns, lambda sums, place=place: ratio(sums[..., [place, -1]])
    facts = MetricFacts(token_bytes=np.zeros(0, np.int32), seq_len=1)
    for name in registry.names("metrics"):
        if quantity == name or quantity.startswith(f"{name}_"):
            metric = registry.config_class("metrics", name)().build(facts)
            if isinstance(metric, TextMetric):
                yield from ((metric.n_statistics, part.finish) for part in metric.quantities if part.name == quantity)
