"""Settings of rollouts that cannot be."""

import pytest

from prospero.errors import ConfigError
from prospero.training.rollouts.settings import RolloutsConfig


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"group_size": 1}, "group_size=1: a completion is judged by the others of its group"),
        ({"max_new_tokens": 0}, "max_new_tokens=0 must be at least 1"),
        ({"updates_per_rollout": 0}, "updates_per_rollout=0"),
        ({"warmup_steps": -1}, "warmup_steps=-1"),
    ],
)
def test_settings_that_cannot_be(wrong, message):
    with pytest.raises(ConfigError, match=message):
        RolloutsConfig(**wrong)
