"""One part of a mixture. (Whoever lists parts takes each item as it is written; `configuration/listed.py` reads it.)"""

from dataclasses import dataclass

from prospero.data.parts import MISSING, SourceSettings
from prospero.errors import ConfigError


@dataclass(kw_only=True, slots=True)
class MixturePartConfig:
    """One part: `{data: files, path: texts, weight: 3}`; what is none of these settings is one of its source's."""

    data: str
    """A choice of data=, such as stdlib; its own settings stand beside this one."""
    name: str | None = None
    """What the part is called in metrics and in the schedule; null: as its choice of data=."""
    weight: float = 1.0
    """Its share of the tokens of each step, relative to those of the other parts; 0 or more."""
    max_epochs: float | None = None
    """Passes over its text after which its share goes to the other parts; null: no end."""
    settings: SourceSettings = MISSING
    """The settings of its source, all of them; they may also stand beside `data`."""

    def __post_init__(self) -> None:
        if not 0 <= self.weight < float("inf"):
            raise ConfigError(f"weight={self.weight} is no share; give 0 or a number above 0")
        if self.max_epochs is not None and not 0 < self.max_epochs < float("inf"):
            raise ConfigError(f"max_epochs={self.max_epochs} reads nothing; give a number above 0, or leave it out")

    @property
    def called(self) -> str:
        """The name of the part."""
        return self.data if self.name is None else self.name
