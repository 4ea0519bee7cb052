"""Hydra's sweep grammar as Optuna's distributions.

a,b,c  choice(a,b,c)  glob(*)      one of these
range(1,10,2)                      these numbers; the last one is before the end, as in Python
interval(0,1)                      any number between
int(interval(1,16))                any whole number between, both ends included
tag(log, ...)                      of an interval or a range of whole numbers: even in the logarithm
"""

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep

from prospero.errors import ConfigError, suggest

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

TAGS = ("log", "ordered", "int")


def split(overrides: Iterable[Override]) -> tuple[list[str], dict[str, Override]]:
    """Return the fixed words and the swept overrides by key; ConfigError when nothing is swept."""
    fixed, swept = [], {}
    for override in overrides:
        if override.is_sweep_override():
            swept[override.get_key_element()] = override
        elif override.is_delete():
            fixed.append(override.get_key_element())
        else:
            fixed.append(f"{override.get_key_element()}={override.get_value_element_as_str()}")
    if not swept:
        raise ConfigError(
            "hydra/sweeper=optuna: no setting is searched; write for example "
            "'optimizer.lr=tag(log,interval(1e-4,1e-2))' or model=tiny,small"
        )
    return fixed, swept


def distribution(override: Override) -> "BaseDistribution":
    """Return the distribution of a swept setting; ConfigError when the values make no sense."""
    from optuna.distributions import CategoricalDistribution

    value, word = override.value(), override.input_line
    tags: set[str] = getattr(value, "tags", set()) or set()
    for tag in tags:
        if tag not in TAGS:
            raise ConfigError(f"{word}: there is no tag '{tag}'.{suggest(tag, TAGS)} Allowed: log.")
    if isinstance(value, IntervalSweep):
        return _interval(value, "log" in tags, "int" in tags, str(word))
    if isinstance(value, RangeSweep):
        return _range(value, "log" in tags, str(word))
    if "log" in tags:
        raise ConfigError(f"{word}: the tag log is for intervals and ranges, not for a list of values")
    choices = list(dict.fromkeys(override.sweep_string_iterator()))
    if not choices:
        raise ConfigError(f"{word} names no value to choose from")
    assert isinstance(value, ChoiceSweep) or override.is_choice_sweep()
    return CategoricalDistribution(choices)


def _interval(value: IntervalSweep, log: bool, whole: bool, word: str) -> "BaseDistribution":
    from optuna.distributions import FloatDistribution, IntDistribution

    low, high = value.start, value.end
    assert low is not None and high is not None
    if not (math.isfinite(low) and math.isfinite(high)) or low >= high:
        raise ConfigError(f"{word}: an interval goes from the smaller number to the larger one")
    whole = whole or (isinstance(low, int) and isinstance(high, int))
    if log and low < (1 if whole else math.ulp(0.0)):
        raise ConfigError(f"{word}: a logarithmic interval begins above 0" + (", at 1 or more" if whole else ""))
    return IntDistribution(int(low), int(high), log=log) if whole else FloatDistribution(low, high, log=log)


def _range(value: RangeSweep, log: bool, word: str) -> "BaseDistribution":
    from optuna.distributions import FloatDistribution, IntDistribution

    numbers = [] if value.step == 0 else list(value.range())
    if not numbers:
        raise ConfigError(f"{word} holds no number; write range(start,stop,step), where stop is not reached")
    numbers.sort()
    low, high, step = numbers[0], numbers[-1], abs(value.step)
    if all(isinstance(number, int) for number in numbers):
        if log and (step != 1 or low < 1):
            raise ConfigError(f"{word}: a logarithmic range has steps of 1 and begins at 1 or more")
        return IntDistribution(int(low), int(high), log=log, step=1 if log else int(step))
    if log:
        raise ConfigError(f"{word}: a range of fractions cannot be logarithmic; write tag(log,interval({low},{high}))")
    return FloatDistribution(float(low), float(high), step=float(step))


def probes(fixed: list[str], space: dict[str, Any]) -> Iterator[list[str]]:
    """Yield overrides of jobs that together hold every listed choice, and an end of every interval, at least once."""
    values = {key: list(getattr(found, "choices", None) or [found.low]) for key, found in space.items()}
    first = {key: f"{key}={text_of(found[0])}" for key, found in values.items()}
    yield [*fixed, *first.values()]
    for key, found in values.items():
        for value in found[1:]:
            yield [*fixed, *(first | {key: f"{key}={text_of(value)}"}).values()]


def text_of(value: Any) -> str:
    """Return a parameter as the value part of an override (choices are such text already)."""
    return value if isinstance(value, str) else repr(value)
