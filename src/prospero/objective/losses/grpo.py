"""Group relative policy optimisation: completions that a model wrote are made likelier or less likely by their reward.

Shao et al. 2024, "DeepSeekMath", arXiv:2402.03300, equations 3 and 4. With p the probability of a token now, p_old when
it was drawn, p_ref under a frozen reference, A the advantage of its completion and r = p / p_old, each token loses

    -min(r A, clip(r, 1 - clip_low, 1 + clip_high) A) + beta (p_ref / p - log(p_ref / p) - 1).

The last factor is an unbiased estimate of the divergence KL(p || p_ref) that is never negative (Schulman 2020, "k3").
A and how much a token counts (`token_weights`) are facts of the batch: who draws the completions knows their groups.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from prospero.errors import ConfigError
from prospero.objective.losses.base import Loss, LossConfig
from prospero.objective.losses.cross_entropy import CrossEntropyConfig
from prospero.objective.terms import TokenScores, TokenTerm

ADVANTAGES, OLD, REFERENCE = "advantages", "old_log_probabilities", "reference_log_probabilities"
TOKEN_WEIGHTS, GIVEN = "token_weights", "given"
"""Facts of a batch, float32 [B, T]; `given` is bool: positions of answers that were given, not drawn."""


@dataclass(kw_only=True, slots=True)
class GRPOConfig(LossConfig):
    """GRPO: completions drawn by the model itself, weighed by how their reward compares with that of their group."""

    clip_low: float = 0.2
    """How far below 1 the ratio of a token still counts, 0 to 1."""
    clip_high: float = 0.2
    """How far above 1; larger than `clip_low` lets rare tokens grow (DAPO, Yu et al. 2025, arXiv:2503.14476)."""
    beta: float = 0.04
    """Weight of the divergence from the reference, the weights at the first rollout; 0: none is held."""

    def __post_init__(self) -> None:
        LossConfig.__post_init__(self)
        if not 0 < self.clip_low <= 1:
            raise ConfigError(f"clip_low={self.clip_low} is no bound of a ratio; give a number above 0 and up to 1")
        if not 0 < self.clip_high < float("inf"):
            raise ConfigError(f"clip_high={self.clip_high} is no bound of a ratio; give a number above 0")
        if not 0 <= self.beta < float("inf"):
            raise ConfigError(f"beta={self.beta} would push away from the reference; give 0 or more")

    def build(self) -> "GRPO":
        """Return the loss."""
        return GRPO(self)


class GRPO(Loss):
    """See the head of this file; answers that were given are learnt by cross-entropy."""

    def __init__(self, config: GRPOConfig) -> None:
        super().__init__(config)
        self.clip_low, self.clip_high, self.beta = config.clip_low, config.clip_high, config.beta
        self.facts = frozenset({ADVANTAGES, OLD, TOKEN_WEIGHTS, GIVEN} | ({REFERENCE} if config.beta else set()))

    def per_token(self, scores: TokenScores) -> Tensor:
        """Return the weighed loss of each token, [N]."""
        facts, log_p = scores.facts, scores.target_logit - scores.log_sum_exp
        ratio, advantages = (log_p - _drawn(OLD, scores)).exp(), facts[ADVANTAGES]
        clipped = ratio.clamp(1 - self.clip_low, 1 + self.clip_high)
        loss = -torch.minimum(ratio * advantages, clipped * advantages)
        if self.beta:
            loss = loss + self.beta * divergence(log_p, _drawn(REFERENCE, scores))
        return facts[TOKEN_WEIGHTS] * torch.where(facts[GIVEN], -log_p, loss)

    def measured(self) -> Loss:
        """A validation reads given answers: their cross-entropy."""
        return CrossEntropyConfig(weight=self.weight, chunk_tokens=self.chunk_tokens).build()

    def observed(self) -> Mapping[str, TokenTerm]:
        """Return the share of tokens that are clipped, the entropy, and the divergence where there is a reference."""
        terms: dict[str, TokenTerm] = {"clip_share": _ClipShare(self), "entropy": _Entropy()}
        return terms | ({"kl": _Divergence()} if self.beta else {})


def _drawn(fact: str, scores: TokenScores) -> Tensor:
    """Return log-probabilities that a batch brings; for an answer that was given there are none: those of now."""
    return torch.where(scores.facts[GIVEN], (scores.target_logit - scores.log_sum_exp).detach(), scores.facts[fact])


def divergence(log_p: Tensor, log_p_reference: Tensor) -> Tensor:
    """Return the estimate k3 of KL(p || p_ref) of each token."""
    difference = log_p_reference - log_p
    return difference.exp() - difference - 1


class _ClipShare(TokenTerm):
    """1 where the bound of the ratio holds a token's gradient back."""

    facts = frozenset({ADVANTAGES, OLD, GIVEN})

    def __init__(self, loss: GRPO) -> None:
        self.loss = loss

    def per_token(self, scores: TokenScores) -> Tensor:
        ratio = (scores.target_logit - scores.log_sum_exp - _drawn(OLD, scores)).exp()
        above, below = ratio > 1 + self.loss.clip_high, ratio < 1 - self.loss.clip_low
        advantages = scores.facts[ADVANTAGES]
        return (((advantages > 0) & above) | ((advantages < 0) & below)).float()


class _Divergence(TokenTerm):
    """KL to the reference; 0 of answers that were given."""

    facts = frozenset({REFERENCE, GIVEN})

    def per_token(self, scores: TokenScores) -> Tensor:
        return divergence(scores.target_logit - scores.log_sum_exp, _drawn(REFERENCE, scores))


class _Entropy(TokenTerm):
    """The entropy of the prediction, in nats."""

    reads = frozenset({"expected_logit"})

    def per_token(self, scores: TokenScores) -> Tensor:
        assert scores.expected_logit is not None, "it is in `reads`"
        return scores.log_sum_exp - scores.expected_logit
