"""Grids of which every kind of case runs always, and all of their cases with --long."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest


def grid(cases: Iterable[Any], always: Callable[[Any], bool]) -> list[Any]:
    """Return the cases for `parametrize`; those that are not to run `always` are marked `deep`."""
    return [case if always(case) else pytest.param(*_values(case), marks=pytest.mark.deep) for case in cases]


def sample(cases: Iterable[Any], every: int) -> list[Any]:
    """Return the cases for `parametrize`; only the first of each `every` in a row runs always."""
    numbered = list(cases)
    kept = {id(case) for case in numbered[::every]}
    return grid(numbered, lambda case: id(case) in kept)


def _values(case: Any) -> tuple[Any, ...]:
    return case if isinstance(case, tuple) else (case,)
