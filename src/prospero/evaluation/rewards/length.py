"""Length: 1 for a text that is as long as asked for, less the farther it is from that."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from prospero.errors import ConfigError
from prospero.evaluation.rewards.base import Reward, RewardConfig, RewardFacts


class Unit(Enum):
    """What is counted."""

    characters = "characters"
    """Unicode code points."""
    words = "words"
    """Runs without white space."""


@dataclass(kw_only=True, slots=True)
class LengthConfig(RewardConfig):
    """From 1 at the length asked for down to 0 at twice that (or, below a target, at nothing)."""

    target: int | None = None
    """The length that is rewarded most; shorter and longer ones less."""
    limit: int | None = None
    """In its place: any length up to this one is rewarded fully."""
    unit: Unit = Unit.characters
    """What is counted: characters or words."""

    def __post_init__(self) -> None:
        RewardConfig.__post_init__(self)
        for name, value in (("target", self.target), ("limit", self.limit)):
            if value is not None and value < 1:
                raise ConfigError(f"{name}={value} is no length to aim at; give 1 or more")
        if self.target is not None and self.limit is not None:
            raise ConfigError(f"target={self.target} and limit={self.limit} are two aims; give one of them")

    def build(self, facts: RewardFacts) -> "LengthReward":
        """Return the reward; ConfigError without a length."""
        if self.target is None and self.limit is None:
            raise ConfigError(f"reward.{facts.name} needs a length: reward.{facts.name}.target=<n> or .limit=<n>")
        return LengthReward(self)


class LengthReward(Reward):
    """See LengthConfig."""

    def __init__(self, config: LengthConfig) -> None:
        super().__init__(config.weight)
        self.config = config

    def score(self, record: Mapping[str, str], text: str) -> float:
        """Return max(0, 1 - distance / length asked for)."""
        found = len(text.split()) if self.config.unit is Unit.words else len(text)
        if self.config.limit is not None:
            return max(0.0, 1 - max(0, found - self.config.limit) / self.config.limit)
        assert self.config.target is not None, "build has seen to it"
        return max(0.0, 1 - abs(found - self.config.target) / self.config.target)
