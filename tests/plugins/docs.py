"""Settings as a plugin has them: read as a class, with a base class."""

from dataclasses import dataclass


@dataclass(kw_only=True, slots=True)
class BaseConfig:
    weight: float = 1.0
    """Of the base."""


@dataclass(kw_only=True, slots=True)
class MineConfig(BaseConfig):
    """Mine."""

    lr: float = 0.5
    """Peak learning
    rate."""
