"""Settings of rollouts. Nothing heavy is imported here."""

from dataclasses import dataclass
from enum import Enum

from prospero.errors import ConfigError


class Normalization(Enum):
    """What the sum of the tokens' losses is divided by."""

    token = "token"
    """The tokens of all completions of a step: each counts the same (DAPO, Yu et al. 2025, arXiv:2503.14476)."""
    sequence = "sequence"
    """Each completion's by its own length, then by the completions (Shao et al. 2024, arXiv:2402.03300)."""
    constant = "constant"
    """The completions times max_new_tokens: length has no say (Dr. GRPO, Liu et al. 2025, arXiv:2503.20783)."""


@dataclass(kw_only=True, slots=True)
class RolloutsConfig:
    """How completions are drawn and judged in groups (loss=grpo); global_batch_size counts their prompts.

    They are drawn at temperature 1 from all tokens: from the very distribution that is trained.
    """

    group_size: int = 8
    """Completions of each prompt, 2 or more: what is better than the others of its group becomes likelier."""
    max_new_tokens: int = 64
    """Length of a completion at most, in tokens; prompt and completion together fit in seq_len."""
    updates_per_rollout: int = 1
    """Optimiser steps over the completions of one policy: so many steps' prompts are answered at once, and each step
    learns from its own. With more than 1 the ratio to the policy of then matters, and what is left of a rollout is
    part of every checkpoint."""
    scale_by_std: bool = True
    """Divide an advantage by the standard deviation of its group's rewards; false leaves it a difference from their
    mean, so that easy and hard prompts weigh alike (Dr. GRPO)."""
    normalization: Normalization = Normalization.token
    """What the sum of the tokens' losses is divided by: token, sequence or constant."""
    warmup_steps: int = 0
    """Steps at the beginning in which the given responses are learnt by cross-entropy: a model that is never right
    gets no signal. The reference is the model after them."""
    warmup_until: float | None = None
    """End them earlier: when a rollout, drawn each 5 of them, has this mean reward; null: not before their end."""
    rows: int = 256
    """Completions that are written side by side; what is written does not depend on it but for the rounding of sums."""

    def __post_init__(self) -> None:
        if self.group_size < 2:
            raise ConfigError(
                f"rollouts.group_size={self.group_size}: a completion is judged by the others of its group; give 2 or "
                "more"
            )
        for name, least in (("max_new_tokens", 1), ("updates_per_rollout", 1), ("warmup_steps", 0), ("rows", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"rollouts.{name}={getattr(self, name)} must be at least {least}")
        if self.warmup_until is not None and not self.warmup_steps:
            raise ConfigError(f"rollouts.warmup_until={self.warmup_until} ends a warm-up, and warmup_steps is 0")
