"""Bounds of the cage: what cannot be."""

import pytest

from prospero.errors import ConfigError
from prospero.evaluation.cage.limits import CageConfig


@pytest.mark.parametrize(
    ("name", "value"),
    [("seconds", 0), ("seconds", float("inf")), ("memory_mb", 8), ("open_files", 3), ("output_kb", 0)],
)
def test_a_bound_that_nothing_could_run_under_is_refused(name, value):
    with pytest.raises(ConfigError, match=rf"^{name}={value} is impossible; choose"):
        CageConfig(**{name: value})
