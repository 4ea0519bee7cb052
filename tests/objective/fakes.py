"""A model small enough to check by hand: an embedding, one matrix, a norm, a head."""

from dataclasses import replace
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from prospero.batch import IGNORE_INDEX, Batch
from prospero.model.base import LanguageModel


class TinyModel(LanguageModel):
    """hidden = norm(tanh(block(embedding))); logits from an untied or tied head, with an optional softcap."""

    def __init__(self, vocab_size: int = 13, d_model: int = 8, *, tied: bool = False, softcap: float = 0.0) -> None:
        super().__init__(vocab_size, max_seq_len=64, d_model=d_model)
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.blocks = nn.ModuleList([nn.Linear(d_model, d_model)])
        self.norm = nn.LayerNorm(d_model)
        self.head = nn.Linear(d_model, vocab_size, bias=False)
        if tied:
            self.head.weight = self.embedding.weight
        self.softcap = softcap
        self.projected_tokens: list[int] = []

    def output_weight(self) -> Tensor:
        return self.head.weight

    def project(self, hidden: Tensor) -> Tensor:
        self.projected_tokens.append(hidden.shape[:-1].numel())
        logits = self.head(hidden)
        return self.softcap * torch.tanh(logits / self.softcap) if self.softcap else logits

    def forward(self, input_ids: Tensor, *, logits: bool = False) -> SimpleNamespace:
        hidden = self.norm(torch.tanh(self.blocks[0](self.embedding(input_ids))))
        return SimpleNamespace(hidden=hidden, logits=self.project(hidden) if logits else None)


class Outspoken(TinyModel):
    """A model that returns logits although it was not asked for them."""

    def forward(self, input_ids, *, logits=False):
        output = super().forward(input_ids, logits=True)
        self.returned = output.logits
        return output


class FixedTeacher:
    """A teacher whose logits of the next token depend on the token before alone: a table of random numbers."""

    def __init__(self, vocabulary: int = 13, width: int = 6, seed: int = 4) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.vocabulary = vocabulary
        self.rows = torch.randn(vocabulary, width, generator=generator)
        self.head = torch.randn(vocabulary, width, generator=generator)
        self.asked_tokens: list[int] = []

    def hidden(self, inputs):
        return self.rows[inputs["input_ids"]]

    def logits(self, hidden):
        self.asked_tokens.append(len(hidden))
        return hidden @ self.head.T


def tiny_batch(batch_size: int = 4, length: int = 6, vocab_size: int = 13, seed: int = 0) -> Batch:
    """Random ids, and labels of which about a quarter are no targets."""
    generator = torch.Generator().manual_seed(seed)
    input_ids = torch.randint(vocab_size, (batch_size, length), generator=generator)
    labels = torch.randint(vocab_size, (batch_size, length), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < 0.25] = IGNORE_INDEX
    return batch_of(input_ids, labels)


def batch_of(input_ids: Tensor, labels: Tensor, **inputs: Tensor) -> Batch:
    """A global batch of one micro-batch."""
    return Batch(
        inputs={"input_ids": input_ids, **inputs},
        labels=labels,
        sequences=len(labels),
        tokens=labels.numel(),
        target_tokens=int((labels != IGNORE_INDEX).sum()),
    )


def part(batch: Batch, first: int, last: int) -> Batch:
    """Sequences [first, last) of `batch`, which stays the global batch."""
    inputs = {name: tensor[first:last] for name, tensor in batch.inputs.items()}
    return replace(batch, inputs=inputs, labels=batch.labels[first:last])


def gradients(model: nn.Module) -> dict[str, Tensor]:
    """The gradients by name; zeros where there is none."""
    return {n: torch.zeros_like(p) if p.grad is None else p.grad.clone() for n, p in model.named_parameters()}
