"""How the harness makes one number of many, as functions of sums.

An aggregation that is none (BLEU over a corpus, a median) cannot be shared among processes or given an interval.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from prospero.errors import DataError
from prospero.evaluation.measurement import mean, ratio


@dataclass(frozen=True, slots=True)
class Aggregation:
    """What one value of a document adds to, and the number that the sums make."""

    statistics: Callable[[Any], list[float]]
    finish: Callable[[np.ndarray], np.ndarray]
    size: int = 2


def _counted(value: Any) -> list[float]:
    return [float(value), 1.0]


def _counted_numbers(value: Any) -> list[float]:
    return [0.0, 0.0] if math.isnan(value) else _counted(value)


def _weighted(value: tuple[float, float]) -> list[float]:
    return [float(value[0]), float(value[1])]


def _brier(value: tuple[int, Any]) -> list[float]:
    gold, probabilities = value
    truth = np.eye(len(probabilities))[gold]
    return _counted(((np.asarray(probabilities) - truth) ** 2).sum())


def _confusion(value: tuple[Any, Any]) -> list[float]:
    """Return true positives, false positives, false negatives, true negatives; the label 1 is positive."""
    if not {int(label) for label in value} <= {0, 1}:
        raise DataError(f"f1 and mcc are measured here of two classes, and a document has {value}; leave them out")
    gold, found = value[0] == 1, value[1] == 1
    return [float(gold and found), float(found and not gold), float(gold and not found), float(not gold and not found)]


def _f1(sums: np.ndarray) -> np.ndarray:
    hits, extra, missed = sums[..., 0], sums[..., 1], sums[..., 2]
    return ratio(np.stack((2 * hits, 2 * hits + extra + missed), axis=-1))


def _matthews(sums: np.ndarray) -> np.ndarray:
    """Return the correlation of two yes-or-no answers; 0 where one of them never varies, as scikit-learn says."""
    hits, extra, missed, right = (sums[..., place] for place in range(4))
    below = np.sqrt((hits + extra) * (hits + missed) * (right + extra) * (right + missed))
    found = np.divide(hits * right - extra * missed, below, out=np.zeros(np.shape(below)), where=below != 0)
    return np.where(sums.sum(axis=-1) > 0, found, np.nan)


AGGREGATIONS = {
    "mean": Aggregation(_counted, mean),
    "nanmean": Aggregation(_counted_numbers, mean),
    "perplexity": Aggregation(_counted, lambda sums: np.exp(-mean(sums))),
    "weighted_perplexity": Aggregation(_weighted, lambda sums: np.exp(-ratio(sums))),
    "bits_per_byte": Aggregation(_weighted, lambda sums: -ratio(sums) / math.log(2)),
    "brier_score": Aggregation(_brier, mean),
    "f1": Aggregation(_confusion, _f1, 4),
    "matthews_corrcoef": Aggregation(_confusion, _matthews, 4),
}
"""The harness's name of an aggregation -> what it is; f1 and Matthews' correlation of two classes."""
