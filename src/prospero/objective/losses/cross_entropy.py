"""Cross-entropy of the next token, summed over target tokens."""

from dataclasses import dataclass

from torch import Tensor

from prospero.errors import ConfigError
from prospero.objective.terms import TokenScores, TokenTerm


@dataclass(kw_only=True, slots=True)
class CrossEntropyConfig:
    """Cross-entropy in nats: the mean over the target tokens of the whole global batch."""

    chunk_tokens: int | None = None
    """Tokens whose logits are held at a time (saves memory for large vocabularies); null: the whole micro-batch's."""

    def __post_init__(self) -> None:
        if self.chunk_tokens is not None and self.chunk_tokens < 1:
            raise ConfigError(
                f"chunk_tokens={self.chunk_tokens} cannot be; give 1 token or more, or null for no chunks"
            )

    def build(self) -> "CrossEntropy":
        """Return the loss."""
        return CrossEntropy(self.chunk_tokens)


class CrossEntropy(TokenTerm):
    """-log p(label) = log_sum_exp - logit of the label."""

    name = "cross_entropy"

    def __init__(self, chunk_tokens: int | None = None) -> None:
        self.chunk_tokens = chunk_tokens

    def per_token(self, scores: TokenScores) -> Tensor:
        """Return the nats of each token, [N]."""
        return scores.log_sum_exp - scores.target_logit
