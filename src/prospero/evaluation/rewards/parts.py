"""What the group of rewards asks of its parts; light at import, for the settings of commands."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from prospero.evaluation.rewards.base import Reward, RewardFacts


class RewardSettings(Protocol):
    """What a completion is rewarded for: the group `reward`."""

    def build(self, facts: "RewardFacts") -> "Reward":
        """Return the reward; ConfigError where the records lack what it reads."""
        ...
