"""What every reward is: a function (prompt record, text) -> number, and a weight.

A record holds texts by field: `prompt` and `response` of the prepared example, and what `rendering.keep` names. Nothing
else is read, so that a reward can be computed again from what a run has written down.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from prospero.errors import ConfigError

TOTAL = "total"
"""The name of the weighted sum among the rewards of a text."""


@dataclass(kw_only=True, slots=True)
class RewardConfig:
    """A reward of the list `reward=[...]`; a text gets the sum of weight x reward."""

    weight: float = 1.0
    """Factor of this reward in the sum; below 0 it is a penalty."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.weight) or self.weight == 0:
            raise ConfigError(f"weight={self.weight} is no factor of a reward; give a number, or leave the reward out")


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardFacts:
    """The argument of every reward's `build`: what its host knows."""

    name: str
    """Under which it was chosen."""
    outputs_dir: str = "outputs"
    """The folder that holds the runs: a metric may score with a model of one."""
    fields: frozenset[str] = field(default_factory=frozenset)
    """What the records hold."""

    def check(self, setting: str, field: str) -> str:
        """Return the field that a reward reads; ConfigError where the records lack it."""
        if field not in self.fields:
            raise ConfigError(
                f"reward.{self.name}.{setting}={field}: the prepared examples hold {', '.join(sorted(self.fields))}; "
                f"name one of them, or keep the field of your records: rendering.keep=[{field}]"
            )
        return field


class Reward(ABC):
    """A function of a prompt's record and a text; the same texts get the same rewards."""

    def __init__(self, weight: float) -> None:
        self.weight = weight

    @abstractmethod
    def score(self, record: Mapping[str, str], text: str) -> float:
        """Return the reward of one text, without the weight."""

    def scores(self, records: Sequence[Mapping[str, str]], texts: Sequence[str]) -> list[float]:
        """Return the reward of each text for its record; faster together where a reward says how."""
        return [self.score(record, text) for record, text in zip(records, texts, strict=True)]


def score_all(
    rewards: Mapping[str, Reward], records: Sequence[Mapping[str, str]], texts: Sequence[str]
) -> dict[str, np.ndarray]:
    """Return every reward by name and their weighted sum as TOTAL, float64 [texts] each."""
    found = {name: np.asarray(reward.scores(records, texts), np.float64) for name, reward in rewards.items()}
    total = np.zeros(len(texts))
    for name, reward in rewards.items():
        total = total + reward.weight * found[name]
    return {**found, TOTAL: total}
