"""pass@k: the probability that one of k programs drawn passes, estimated without bias from n (Chen et al. 2021)."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from prospero.errors import ConfigError
from prospero.evaluation.metrics.base import MetricFacts
from prospero.evaluation.metrics.text_base import TextMetric, TextSample


@dataclass(kw_only=True, slots=True)
class PassAtKConfig:
    """pass@k of programs, the mean over the problems (Chen et al. 2021, arXiv:2107.03374), 0 to 1."""

    k: list[int] = field(default_factory=lambda: [1, 5])
    """How many programs are drawn; a task has to write at least as many for each problem."""

    def __post_init__(self) -> None:
        if not self.k or min(self.k) < 1 or len(set(self.k)) < len(self.k):
            raise ConfigError(f"pass_at_k: k={self.k} is impossible; give different numbers above 0, such as [1,5]")

    def build(self, facts: MetricFacts) -> "PassAtK":
        """Return the metric."""
        return PassAtK(self.k)


class PassAtK(TextMetric):
    """Statistics of a sample: pass@k for each k, and 1; nothing where its programs were not run."""

    name = "pass_at_k"
    reads_all_predictions = True

    def __init__(self, k: Sequence[int]) -> None:
        self.k, self.parts, self.n_statistics = tuple(k), tuple(map(str, k)), len(k) + 1
        super().__init__()

    def statistics(self, samples: Sequence[TextSample]) -> np.ndarray:
        """Return pass@k of each sample; ConfigError when one has fewer programs than the largest k."""
        return np.array([self._row(sample.passed) for sample in samples], dtype=np.float64).reshape(
            -1, self.n_statistics
        )

    def _row(self, passed: Sequence[bool] | None) -> list[float]:
        if passed is None:
            return [0.0] * self.n_statistics
        self.check(len(passed))
        return [*(pass_at_k(len(passed), sum(passed), k) for k in self.k), 1.0]

    def check(self, n: int) -> None:
        """Raise ConfigError when `n` programs a problem do not do."""
        if n < max(self.k):
            raise ConfigError(
                f"pass@{max(self.k)} needs {max(self.k)} programs for each problem and the task writes n={n}; "
                f"raise decoding.n, or set metrics.pass_at_k.k to {n} and below"
            )

    def finish(self, sums: np.ndarray) -> np.ndarray:
        """Return the mean of each k."""
        counts = sums[..., -1:]
        return np.divide(sums[..., :-1], counts, out=np.full(sums[..., :-1].shape, np.nan), where=counts != 0)


def pass_at_k(n: int, passed: int, k: int) -> float:
    """Return 1 - C(n - passed, k) / C(n, k), as a product that no factorial overflows."""
    if n - passed < k:
        return 1.0
    return 1.0 - float(np.prod(1.0 - k / np.arange(n - passed + 1, n + 1)))
