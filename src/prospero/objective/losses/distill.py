"""Distillation: a student learns the whole distribution of a teacher's next token, not the one token of the text.

Hinton et al. 2015, arXiv:1503.02531. With temperature T both distributions are softmax(logits / T), and the divergence
is multiplied by T^2, so that the size of the gradient stays comparable as T changes.

The teacher runs beside the student (`Distill`), or what it said was stored before (`StoredDistill`): of each position
its k likeliest tokens, and one bucket for all others. Of the student's distribution the same buckets are made: the
divergence between the two is that of the whole vocabulary where k is its size, and never more where it is smaller (data
processing inequality). Nothing is renormalised, so the student learns how much is left for the others, too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from prospero.batch import Batch
from prospero.errors import ConfigError
from prospero.objective.losses.base import Loss, LossConfig
from prospero.objective.losses.cross_entropy import CrossEntropy
from prospero.objective.losses.divergences import Divergence, divergence
from prospero.objective.terms import TokenScores

HIDDEN, IDS, LOG_PROBS = "teacher_hidden", "teacher_ids", "teacher_log_probs"
"""Names of the facts: what the teacher's head reads, [B, T, D]; the likeliest tokens, [B, T, k]; and their
log-probabilities at the temperature, with that of all others together at the end, [B, T, k + 1]."""


class Teacher(Protocol):
    """A frozen model of the student's tokens."""

    vocabulary: int
    """Tokens that both know; ids beyond are padding."""

    def hidden(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return what its head reads of a batch's `inputs`, [B, T, D], without a graph."""
        ...

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the logits [N, vocabulary] of some rows of `hidden` [N, D], without a graph."""
        ...


@dataclass(kw_only=True, slots=True)
class DistillConfig(LossConfig):
    """The divergence of the student's next token from a teacher's, at a temperature T, times T^2."""

    chunk_tokens: int | None = 1024
    """Tokens whose logits, the student's and the teacher's, are held at a time; null: the whole micro-batch's."""
    teacher: str | None = None
    """The teacher: a run, a checkpoint, a model folder, a Hugging Face folder or hub name. It has the student's
    tokenizer and reads at least seq_len tokens at once."""
    store: str | None = None
    """In its place: a folder that `prospero distill` wrote, or its name; then no teacher is needed."""
    temperature: float = 1.0
    """T, above 0: more than 1 shows the student more of what the teacher thinks unlikely."""
    divergence: Divergence = Divergence.forward
    """forward, reverse, or jensen_shannon."""

    def __post_init__(self) -> None:
        LossConfig.__post_init__(self)
        if not 0 < self.temperature < float("inf"):
            raise ConfigError(f"temperature={self.temperature} is no temperature; give a number above 0")
        if self.teacher is not None and self.store is not None:
            raise ConfigError("teacher= and store= are given; a store holds what its teacher said: leave one out")
        for name in ("teacher", "store"):
            if (value := getattr(self, name)) is not None and not value.strip():
                raise ConfigError(f"{name}= is empty; give a model, or a folder that prospero distill wrote")

    def build(self) -> "Distill | StoredDistill":
        """Return the loss; it learns once it is given its teacher, or the size of the stored vocabulary."""
        return Distill(self) if self.store is None else StoredDistill(self)


class Taught(Loss):
    """T^2 x the divergence from a teacher; a validation measures the student by the text alone, as cross-entropy."""

    reads = frozenset({"logits"})

    def __init__(self, config: DistillConfig) -> None:
        super().__init__(config)
        self.config = config
        self.kind, self.temperature = config.divergence, config.temperature

    def measured(self) -> Loss:
        """Return cross-entropy of the same weight: val/loss says how well the student knows the text."""
        return CrossEntropy(self.config)

    def _student(self, scores: TokenScores, vocabulary: int) -> Tensor:
        """Return log-probabilities at the temperature, [N, vocabulary] float32."""
        assert scores.logits is not None, "it is in `reads`"
        return torch.log_softmax(scores.logits[:, :vocabulary].float() / self.temperature, -1)


class Distill(Taught):
    """The teacher runs beside the student."""

    facts = frozenset({HIDDEN})
    teacher: Teacher | None = None
    """Given before the first step."""

    def made_of(self, batch: Batch) -> dict[str, Tensor]:
        """Return what the teacher's head reads of the batch."""
        return {HIDDEN: self._given().hidden(batch.inputs)}

    def per_token(self, scores: TokenScores) -> Tensor:
        """Return the divergence of each token, [N]."""
        teacher = self._given()
        theirs = torch.log_softmax(teacher.logits(scores.facts[HIDDEN]).float() / self.temperature, -1)
        ours = self._student(scores, teacher.vocabulary)
        return self.temperature**2 * divergence(self.kind, theirs, ours)

    def _given(self) -> Teacher:
        if self.teacher is None:
            raise ConfigError("loss=distill learns from a teacher; give loss.distill.teacher= or loss.distill.store=")
        return self.teacher


class StoredDistill(Taught):
    """What the teacher said was stored: its likeliest tokens, and how much it left for all others."""

    facts = frozenset({IDS, LOG_PROBS})
    vocabulary: int | None = None
    """Tokens of the tokenizer; given before the first step."""

    def per_token(self, scores: TokenScores) -> Tensor:
        """Return the divergence of each token over the buckets, [N]."""
        assert self.vocabulary is not None, "the store was not opened"
        ids = scores.facts[IDS].long()
        theirs = torch.log_softmax(scores.facts[LOG_PROBS].float(), -1)  # rounded to float16, they add up to 1 again
        ours = self._student(scores, self.vocabulary)
        buckets = [ours.gather(-1, ids)]
        if ids.shape[-1] < self.vocabulary:
            buckets.append(ours.scatter(-1, ids, -torch.inf).logsumexp(-1, keepdim=True))
        else:
            theirs = theirs[:, :-1]  # nothing is left for others
        return self.temperature**2 * divergence(self.kind, theirs, torch.cat(buckets, -1))


def buckets_of(log_probs: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """Return the ids [N, k] of the k likeliest of `log_probs` [N, V], and the k + 1 log-probabilities, [N, k + 1]."""
    kept, ids = log_probs.topk(top_k, dim=-1)
    rest = log_probs.scatter(-1, ids, -torch.inf).logsumexp(-1, keepdim=True)
    return ids, torch.cat([kept, rest], -1)
