"""The number by which a run is judged: the best checkpoint, early stopping, pruning, the table of a sweep."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Monitor:
    """The name of a number of validation, and which way is better."""

    name: str = "val/loss"
    higher_is_better: bool = False

    def better(self, value: float, other: float, min_delta: float = 0.0) -> bool:
        """Whether `value` is better than `other` by more than `min_delta`."""
        return value > other + min_delta if self.higher_is_better else value < other - min_delta

    def rank(self, value: float) -> float:
        """Return a key by which values sort, the best first."""
        return -value if self.higher_is_better else value

    @property
    def worst(self) -> float:
        """The value that any other is better than."""
        return float("-inf") if self.higher_is_better else float("inf")

    @property
    def direction(self) -> str:
        """`maximize` or `minimize`."""
        return "maximize" if self.higher_is_better else "minimize"
