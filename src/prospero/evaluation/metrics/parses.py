"""Parses: the share of texts that are Python, by its grammar; nothing is executed."""

import ast
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from prospero.evaluation.measurement import ratio
from prospero.evaluation.metrics.base import MetricFacts
from prospero.evaluation.metrics.text_base import TextMetric, TextSample


@dataclass(kw_only=True, slots=True)
class ParsesConfig:
    """The share of texts that are a Python program of at least one statement, 0 to 1."""

    def build(self, facts: MetricFacts) -> "Parses":
        """Return the metric."""
        return Parses()


class Parses(TextMetric):
    """Number of texts that parse / number of texts."""

    name = "parses"

    def statistics(self, samples: Sequence[TextSample]) -> np.ndarray:
        """Return (whether it parses, 1) of each sample."""
        return np.array([(is_python(sample.prediction), 1) for sample in samples], dtype=np.float64).reshape(-1, 2)

    def finish(self, sums: np.ndarray) -> np.ndarray:
        """Return the share."""
        return ratio(sums)


def is_python(text: str) -> bool:
    """Whether a text parses as the Python that runs this, and says something: white space and comments do not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an odd escape in a string warns, on every text anew
        try:
            program = ast.parse(text)
        except (
            SyntaxError,
            ValueError,
            RecursionError,
            MemoryError,
        ):  # a NUL byte, a lone surrogate; nested too deeply
            return False
    return bool(program.body)
