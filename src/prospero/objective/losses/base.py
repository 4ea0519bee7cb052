"""What all losses share: a weight, and how many tokens' logits are held at a time."""

from collections.abc import Mapping
from dataclasses import dataclass

from prospero.errors import ConfigError
from prospero.objective.terms import TokenTerm


@dataclass(kw_only=True, slots=True)
class LossConfig:
    """A loss of the list `loss=[...]`; the objective is the sum of weight x loss."""

    weight: float = 1.0
    """Factor of this loss in the objective, above 0."""
    chunk_tokens: int | None = None
    """Tokens whose logits are held at a time (saves memory for large vocabularies); null: the whole micro-batch's. Of
    several losses the smallest number counts, as they share the logits."""

    def __post_init__(self) -> None:
        if not 0 < self.weight < float("inf"):
            raise ConfigError(f"weight={self.weight} is no factor of a loss; give one above 0, or leave the loss out")
        if self.chunk_tokens is not None and self.chunk_tokens < 1:
            raise ConfigError(
                f"chunk_tokens={self.chunk_tokens} cannot be; give 1 token or more, or null for no chunks"
            )


class Loss(TokenTerm):
    """A loss as a sum over target tokens; implement `per_token`."""

    def __init__(self, config: LossConfig) -> None:
        self.weight = config.weight
        self.chunk_tokens = config.chunk_tokens

    def measured(self) -> "Loss":
        """Return the loss that a validation measures in its place: itself, unless it reads what training alone has."""
        return self

    def observed(self) -> Mapping[str, TokenTerm]:
        """Return what is logged of its tokens besides: name -> a term of which the mean over the targets is shown."""
        return {}
