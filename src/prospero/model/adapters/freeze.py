"""Train the named parts of a model only, the rest stays as it is."""

from dataclasses import dataclass, field

from prospero.errors import ConfigError
from prospero.model.adapters.base import Adapter, check_names, freeze, stands_for
from prospero.model.base import LanguageModel


@dataclass(kw_only=True, slots=True)
class FreezeConfig:
    """Freeze all weights but those of the named parts."""

    train: list[str] = field(default_factory=lambda: ["blocks"])
    """Parts that are trained, by any name on their path: head, norm, embedding, attention, blocks.5, ..."""

    def __post_init__(self) -> None:
        if not self.train:
            raise ConfigError("adapter.train=[] trains nothing; name parts, such as [head,norm]")

    def build(self) -> "Freeze":
        """Return the adapter."""
        return Freeze(self)


class Freeze(Adapter):
    """requires_grad for the named parts alone."""

    def __init__(self, config: FreezeConfig) -> None:
        self.config = config

    def apply(self, model: LanguageModel) -> None:
        """Freeze what is not named."""
        names = [name for name, _ in model.named_parameters()]
        check_names("adapter.train", self.config.train, names, "part")
        freeze(model)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(any(stands_for(part, name) for part in self.config.train))

    def merge(self, model: LanguageModel) -> None:
        """Let everything be trained again."""
        model.requires_grad_(True)
