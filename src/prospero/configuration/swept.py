"""Hydra's sweep grammar as what a search chooses from, for Optuna's distributions and for W&B's.

a,b,c  choice(a,b,c)  glob(*)      one of these
range(1,10,2)                      these numbers; the last one is before the end, as in Python
interval(0,1)                      any number between
int(interval(1,16))                any whole number between, both ends included
tag(log, ...)                      of an interval or a range of whole numbers: even in the logarithm
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep

from prospero.errors import ConfigError, suggest
from prospero.paths import config_dir

TAGS = ("log", "ordered", "int")


@dataclass(frozen=True, slots=True)
class Choices:
    """One of these values, as they stand on a command line."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Numbers:
    """A number from `low` to `high`, both included; of a range, one of its numbers."""

    low: float
    high: float
    whole: bool
    log: bool = False
    step: float | None = None
    """The distance of a range's numbers; None for an interval."""

    def all(self) -> list[float]:
        """Return the numbers of a range."""
        assert self.step is not None, "an interval has no list of numbers"
        count = round((self.high - self.low) / self.step) + 1
        return [self.low + place * self.step for place in range(count)]


Space = Mapping[str, Choices | Numbers]
"""Setting -> what it is chosen from."""


def parsed(words: list[str]) -> list[Override]:
    """Return a sweep's words, as `words.for_hydra` gives them, as Hydra's overrides; `glob` finds our presets."""
    loader = ConfigLoaderImpl(config_search_path=create_config_search_path(str(config_dir())))
    return OverridesParser.create(config_loader=loader).parse_overrides(words)


def split(overrides: Iterable[Override]) -> tuple[list[str], dict[str, Override]]:
    """Return the fixed words and the swept overrides by key."""
    fixed, swept = [], {}
    for override in overrides:
        if override.is_sweep_override():
            swept[override.get_key_element()] = override
        elif override.is_delete():
            fixed.append(override.get_key_element())
        else:
            fixed.append(f"{override.get_key_element()}={override.get_value_element_as_str()}")
    return fixed, swept


def chosen_from(override: Override) -> Choices | Numbers:
    """Return what a swept setting is chosen from; ConfigError when the values make no sense."""
    value, word = override.value(), override.input_line
    tags: set[str] = (value.tags or set()) if isinstance(value, ChoiceSweep | IntervalSweep | RangeSweep) else set()
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
    return Choices(tuple(choices))


def _interval(value: IntervalSweep, log: bool, whole: bool, word: str) -> Numbers:
    low, high = value.start, value.end
    assert low is not None and high is not None
    if not (math.isfinite(low) and math.isfinite(high)) or low >= high:
        raise ConfigError(f"{word}: an interval goes from the smaller number to the larger one")
    whole = whole or (isinstance(low, int) and isinstance(high, int))
    if log and low < (1 if whole else math.ulp(0.0)):
        raise ConfigError(f"{word}: a logarithmic interval begins above 0" + (", at 1 or more" if whole else ""))
    return Numbers(int(low), int(high), True, log) if whole else Numbers(float(low), float(high), False, log)


def _range(value: RangeSweep, log: bool, word: str) -> Numbers:
    numbers = [] if value.step == 0 else list(value.range())
    if not numbers:
        raise ConfigError(f"{word} holds no number; write range(start,stop,step), where stop is not reached")
    numbers.sort()
    low, high, step = numbers[0], numbers[-1], abs(value.step)
    if all(isinstance(number, int) for number in numbers):
        if log and (step != 1 or low < 1):
            raise ConfigError(f"{word}: a logarithmic range has steps of 1 and begins at 1 or more")
        return Numbers(int(low), int(high), True, log, 1 if log else int(step))
    if log:
        raise ConfigError(f"{word}: a range of fractions cannot be logarithmic; write tag(log,interval({low},{high}))")
    return Numbers(float(low), float(high), False, False, float(step))


def probes(fixed: list[str], space: Space) -> Iterator[list[str]]:
    """Yield overrides of jobs that together hold every listed choice, and an end of every interval, at least once."""
    values = {
        key: list(found.values) if isinstance(found, Choices) else [repr(found.low)] for key, found in space.items()
    }
    first = {key: f"{key}={texts[0]}" for key, texts in values.items()}
    yield [*fixed, *first.values()]
    for key, texts in values.items():
        for text in texts[1:]:
            yield [*fixed, *(first | {key: f"{key}={text}"}).values()]
