"""How long a run is: steps, tokens or operations made steps, or minutes whose steps are estimated as it runs."""

import math
from pathlib import Path

from prospero.errors import ConfigError, DataError
from prospero.training.side_file import SideFile

UNLIMITED_STEPS = 10**9
"""The step limit of a run that only minutes end."""


def steps_of_run(
    *,
    max_steps: int | None,
    max_tokens: int | None,
    max_minutes: float | None,
    max_flops: float | None = None,
    tokens_per_step: int,
    flops_per_token: float = 0.0,
) -> int:
    """Return the greatest number of optimiser steps that the limits allow; minutes alone give UNLIMITED_STEPS.

    Raises ConfigError when no limit is given, or one is not positive.
    """
    given = {"max_steps": max_steps, "max_tokens": max_tokens, "max_flops": max_flops, "max_minutes": max_minutes}
    for name, value in given.items():
        if value is not None and value <= 0:
            raise ConfigError(f"{name}={value} ends the run before it starts; give a number above 0")
    limits = [max_steps] if max_steps is not None else []
    if max_tokens is not None:
        limits.append(math.ceil(max_tokens / tokens_per_step))
    if max_flops is not None:
        if not flops_per_token > 0:
            raise ConfigError("max_flops= needs a model whose operations are counted; give max_tokens instead")
        limits.append(math.ceil(max_flops / flops_per_token / tokens_per_step))
    if limits:
        return min(limits)
    if max_minutes is None:
        raise ConfigError("nothing ends this run; give max_steps, max_tokens, max_flops or max_minutes")
    return UNLIMITED_STEPS


class StepEstimate:
    """Estimates, from the speed measured so far, how many steps fit into a run limited by time.

    A schedule needs a number of steps. The estimate is renewed as the run goes, from the mean seconds of a step since
    `settle_steps`, when caches are warm; it nears the truth as the end nears, so the schedule reaches its last value on
    time. Steps that validate or save count too. Only with the estimates of then (`HorizonRecord`) does a run limited by
    time come out again digit for digit.
    """

    def __init__(self, limit_seconds: float, max_steps: int, *, settle_steps: int = 3) -> None:
        self.limit_seconds = limit_seconds
        self.max_steps = max_steps
        self.settle_steps = settle_steps
        self._start: tuple[int, float] | None = None
        self._first_step: int | None = None

    def update(self, step: int, seconds: float) -> int | None:
        """Return the estimated total after `step` steps and `seconds` of training; None while it is too early."""
        if self._first_step is None:
            self._first_step = step
        if step < self._first_step + self.settle_steps:
            return None
        if self._start is None:
            self._start = (step, seconds)
            return None
        steps, elapsed = step - self._start[0], seconds - self._start[1]
        if steps <= 0 or elapsed <= 0:
            return None
        remaining = max(0.0, self.limit_seconds - seconds)
        return min(self.max_steps, step + max(1, math.ceil(remaining * steps / elapsed)))


class HorizonRecord:
    """The estimates of a run in a file, a step and a total each line: what a repetition follows, not the clock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = SideFile(path)
        self._last: int | None = None

    def add(self, step: int, total: int) -> None:
        """Append an estimate that differs from the last one; a kill loses nothing of the steps before."""
        if total != self._last:
            self._file.append(f"{step},{total}\n")
        self._last = total

    def read(self) -> dict[int, int]:
        """Return step -> total; a last line that a kill has cut off is left out."""
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        lines = text[: text.rfind("\n") + 1].splitlines()
        try:
            return {int(step): int(total) for step, total in (line.split(",") for line in lines)}
        except ValueError as error:
            raise DataError(f"{self.path} is damaged ({error}): it has a step and a total on each line") from error
