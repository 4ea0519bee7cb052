"""What a search chooses from (`prospero.configuration.swept`) as Optuna's distributions."""

from typing import TYPE_CHECKING, Any

from prospero.configuration.swept import Choices, Numbers

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


def distribution(found: Choices | Numbers) -> "BaseDistribution":
    """Return the distribution of what a setting is chosen from."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(found, Choices):
        return CategoricalDistribution(list(found.values))
    if found.whole:
        return IntDistribution(int(found.low), int(found.high), log=found.log, step=int(found.step or 1))
    return FloatDistribution(found.low, found.high, log=found.log, step=found.step)


def text_of(value: Any) -> str:
    """Return a parameter as the value part of an override (choices are such text already)."""
    return value if isinstance(value, str) else repr(value)
