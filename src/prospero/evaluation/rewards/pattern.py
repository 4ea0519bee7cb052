"""Regular expression: 1 where a text is written as it should be."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from prospero.errors import ConfigError
from prospero.evaluation.rewards.base import Reward, RewardConfig, RewardFacts
from prospero.evaluation.tasks.items import check_pattern


@dataclass(kw_only=True, slots=True)
class PatternConfig(RewardConfig):
    """1 for a text that matches a regular expression, 0 for any other."""

    pattern: str = ""
    """The regular expression; . does not match line ends unless it says (?s)."""
    whole: bool = True
    """Whether the whole text has to match; false: any part of it."""

    def __post_init__(self) -> None:
        RewardConfig.__post_init__(self)
        check_pattern("pattern", self.pattern)

    def build(self, facts: RewardFacts) -> "PatternReward":
        """Return the reward; ConfigError without a pattern."""
        if not self.pattern:
            raise ConfigError(f"reward.{facts.name} needs a regular expression: reward.{facts.name}.pattern=<pattern>")
        return PatternReward(self)


class PatternReward(Reward):
    """See PatternConfig."""

    def __init__(self, config: PatternConfig) -> None:
        super().__init__(config.weight)
        self.matches = re.compile(config.pattern).fullmatch if config.whole else re.compile(config.pattern).search

    def score(self, record: Mapping[str, str], text: str) -> float:
        """Return 1 or 0."""
        return float(self.matches(text) is not None)
