"""Choosing the next token from logits: pure functions, in the order they are applied.

Shapes: B rows, V vocabulary.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from prospero.errors import ConfigError


@dataclass(kw_only=True, slots=True)
class SamplingConfig:
    """How text is drawn from a model."""

    temperature: float = 0.8
    """Divides the logits; 0 takes the most probable token (greedy), 1 leaves the model's distribution."""
    top_k: int | None = None
    """Draw among this many most probable tokens; null: among all."""
    top_p: float = 0.95
    """Draw among the fewest tokens that hold this share of probability (Holtzman et al. 2020); 1 for all."""
    repetition_penalty: float = 1.0
    """Makes tokens already in the text less likely (Keskar et al. 2019); 1 for no penalty."""
    max_new_tokens: int = 200
    """Length of the continuation, in tokens."""
    stop: list[str] = field(default_factory=list)
    """Texts that end the continuation; they are not part of it."""
    seed: int = 1
    """Seed of the draws; a prompt's text does not depend on the prompts beside it."""

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise ConfigError(f"temperature={self.temperature} is impossible; choose 0 (greedy) or above")
        if self.top_k is not None and self.top_k < 1:
            raise ConfigError(f"top_k={self.top_k} is impossible; choose at least 1, or null for all tokens")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p={self.top_p} is impossible; choose a share above 0 and up to 1")
        if not 0 < self.repetition_penalty < math.inf:
            raise ConfigError(f"repetition_penalty={self.repetition_penalty} is impossible; choose above 0, 1 for none")
        if self.max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens={self.max_new_tokens} is impossible; choose at least 1")
        if any(not text for text in self.stop):
            raise ConfigError("stop holds an empty text, which would end every continuation at once; leave it out")


def penalise_repetition(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Divide the positive and multiply the negative logits [B, V] of `seen` tokens [B, V] (bool) by `penalty`."""
    return torch.where(seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits)


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Set all but the `k` largest of each row of logits [B, V] to -inf (equals of the k-th stay)."""
    if k >= logits.shape[-1]:
        return logits
    least = logits.topk(k, dim=-1).values[..., -1:]
    return logits.masked_fill(logits < least, float("-inf"))


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Set to -inf all tokens of each row of logits [B, V] but the fewest that together hold probability `p`."""
    if p >= 1:
        return logits
    ordered, index = logits.sort(dim=-1, descending=True)
    probabilities = ordered.softmax(dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities  # what the more probable tokens hold: the first always stays
    return logits.masked_fill(torch.zeros_like(logits, dtype=torch.bool).scatter(-1, index, before >= p), float("-inf"))


def draw(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """Return the token [B] at which the cumulated `probabilities` [B, V] first exceed `uniform` [B], from [0, 1)."""
    cumulated = probabilities.cumsum(dim=-1)
    total = cumulated[:, -1:]
    point = torch.minimum(uniform.unsqueeze(-1) * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulated, point, right=True).squeeze(-1)


def choose(
    logits: Tensor, sampling: SamplingConfig, generators: Sequence[torch.Generator], seen: Tensor | None = None
) -> Tensor:
    """Return the next token [B] for logits [B, V]; row i draws from `generators[i]`, on CPU."""
    logits = logits.float()
    if seen is not None and sampling.repetition_penalty != 1:
        logits = penalise_repetition(logits, seen, sampling.repetition_penalty)
    if sampling.temperature == 0:
        return logits.argmax(dim=-1)
    logits = logits / sampling.temperature
    if sampling.top_k is not None:
        logits = keep_top_k(logits, sampling.top_k)
    probabilities = keep_top_p(logits, sampling.top_p).softmax(dim=-1)
    uniform = torch.stack([torch.rand((), generator=generator) for generator in generators])
    return draw(probabilities, uniform.to(probabilities.device))
