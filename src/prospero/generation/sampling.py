"""Choosing the next token from logits: pure functions, in the order they are applied.

Shapes: B rows, V vocabulary.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from prospero.errors import ConfigError
from prospero.generation.watermark import WatermarkConfig, mark

LEAST_TEMPERATURE = 0.01
"""Below it, and above 0, a logit divided by it may run over in float32, and what is drawn is no token."""


@dataclass(kw_only=True, slots=True)
class SamplingConfig:
    """How text is drawn from a model."""

    temperature: float = 0.8
    """Divides the logits; 0 takes the most probable token (greedy), 1 leaves the model's distribution."""
    top_k: int | None = None
    """Draw among this many most probable tokens; null: among all."""
    top_p: float = 0.95
    """Draw among the fewest tokens that hold this share of probability (Holtzman et al. 2020); 1 for all."""
    min_p: float = 0.0
    """Draw among the tokens at least this share as probable as the first (Nguyen et al. 2024); 0 for all."""
    repetition_penalty: float = 1.0
    """Makes tokens already in the text less likely (Keskar et al. 2019); 1 for no penalty."""
    no_repeat_ngram: int | None = None
    """No run of this many tokens comes twice in a text, the prompt included (Paulus et al. 2017); null: it may."""
    n: int = 1
    """Texts for each prompt; of a beam search the best n."""
    beams: int = 1
    """Continuations kept side by side in a search for the most probable text (at temperature 0); 1: no search."""
    length_penalty: float = 1.0
    """A beam's score is its log-probability / tokens^length_penalty; above 1 for longer texts, 0 for the plain sum."""
    max_new_tokens: int = 200
    """Length of the continuation, in tokens."""
    stop: list[str] = field(default_factory=list)
    """Texts that end the continuation; they are not part of it."""
    seed: int = 1
    """Seed of the draws; a prompt's text does not depend on the prompts beside it."""
    watermark: WatermarkConfig = field(default_factory=WatermarkConfig)
    """A mark that whoever has the key finds again in what was written; none without a key."""

    def __post_init__(self) -> None:
        if self.temperature != 0 and not LEAST_TEMPERATURE <= self.temperature < math.inf:
            raise ConfigError(
                f"temperature={self.temperature} is impossible; choose 0 (greedy), or {LEAST_TEMPERATURE} or above"
            )
        if self.top_k is not None and self.top_k < 1:
            raise ConfigError(f"top_k={self.top_k} is impossible; choose at least 1, or null for all tokens")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p={self.top_p} is impossible; choose a share above 0 and up to 1")
        if not 0 <= self.min_p <= 1:
            raise ConfigError(f"min_p={self.min_p} is impossible; choose a share from 0 to 1")
        if not 0 < self.repetition_penalty < math.inf:
            raise ConfigError(f"repetition_penalty={self.repetition_penalty} is impossible; choose above 0, 1 for none")
        for name in ("no_repeat_ngram", "n", "beams"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name}={value} is impossible; choose at least 1")
        if not math.isfinite(self.length_penalty):
            raise ConfigError(f"length_penalty={self.length_penalty} is impossible; choose a finite number")
        if self.beams > 1 and self.temperature != 0:
            raise ConfigError(
                f"beams={self.beams} searches for the most probable text and draws nothing, but temperature is "
                f"{self.temperature}; choose temperature=0, or beams=1"
            )
        if self.beams == 1 and self.length_penalty != 1:
            raise ConfigError(f"length_penalty={self.length_penalty} ranks beams, and there is one; choose 2 or more")
        if 1 < self.beams < self.n:
            raise ConfigError(f"n={self.n} texts do not come of beams={self.beams}; choose at least as many beams")
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


def keep_min_p(logits: Tensor, share: float) -> Tensor:
    """Set to -inf the tokens of each row of logits [B, V] less than `share` times as probable as the first."""
    if share <= 0:
        return logits
    return logits.masked_fill(logits < logits.amax(dim=-1, keepdim=True) + math.log(share), float("-inf"))


def ends_of_repeats(ids: Sequence[int], n: int) -> list[int]:
    """Return the tokens that, after `ids`, would end a run of `n` tokens that `ids` already hold."""
    start = len(ids) - n + 1
    if start < 0:
        return []
    last = list(ids[start:])  # n - 1 tokens
    return [ids[place + n - 1] for place in range(len(ids) - n + 1) if list(ids[place : place + n - 1]) == last]


def draw(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """Return the token [B] at which the cumulated `probabilities` [B, V] first exceed `uniform` [B], from [0, 1)."""
    cumulated = probabilities.cumsum(dim=-1)
    total = cumulated[:, -1:]
    point = torch.minimum(uniform.unsqueeze(-1) * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulated, point, right=True).squeeze(-1)


def generator_of(seed: int, row: int, sample: int = 0) -> random.Random:
    """Return the source of the draws of one text: of prompt number `row`, its text number `sample`."""
    return random.Random(f"{seed} {row} {sample}")


def adjust(logits: Tensor, sampling: SamplingConfig, texts: Sequence[Sequence[int]]) -> Tensor:
    """Return logits [B, V] with what each row already holds (`texts`) pushed down as the settings say."""
    if sampling.repetition_penalty != 1:
        seen = torch.zeros(logits.shape, dtype=torch.bool)
        for row, ids in enumerate(texts):
            seen[row, torch.tensor(ids)] = True
        logits = penalise_repetition(logits, seen.to(logits.device), sampling.repetition_penalty)
    if sampling.no_repeat_ngram is not None:
        logits = logits.clone()
        for row, ids in enumerate(texts):
            if banned := ends_of_repeats(ids, sampling.no_repeat_ngram):
                logits[row, torch.tensor(banned, device=logits.device)] = float("-inf")
    return logits


def rules_of(sampling: SamplingConfig) -> tuple[object, ...]:
    """Return all that `choose` reads of the settings: rows with equal rules can be drawn for together."""
    s, w = sampling, sampling.watermark
    rules = s.temperature, s.top_k, s.top_p, s.min_p, s.repetition_penalty, s.no_repeat_ngram
    return (*rules, w.key, w.gamma, w.delta)


def choose(
    logits: Tensor,
    sampling: SamplingConfig,
    generators: Sequence[random.Random],
    texts: Sequence[Sequence[int]],
) -> Tensor:
    """Return the next token [B] for float32 logits [B, V]; row i holds `texts[i]` and draws from `generators[i]`.

    A row for which the rules leave no token at all takes what is most probable without them.
    """
    adjusted = adjust(logits, sampling, texts)
    if sampling.no_repeat_ngram is not None:
        nothing_left = adjusted.amax(dim=-1, keepdim=True) == float("-inf")
        adjusted = torch.where(nothing_left, logits, adjusted)
    logits = adjusted if sampling.temperature == 0 else adjusted / sampling.temperature
    if sampling.watermark.key is not None:
        logits = mark(logits, sampling.watermark, texts)
    if sampling.temperature == 0:
        return logits.argmax(dim=-1)
    if sampling.top_k is not None:
        logits = keep_top_k(logits, sampling.top_k)
    probabilities = keep_min_p(keep_top_p(logits, sampling.top_p), sampling.min_p).softmax(dim=-1)
    uniform = torch.tensor([generator.random() for generator in generators], dtype=torch.float32)
    return draw(probabilities, uniform.to(probabilities.device))
