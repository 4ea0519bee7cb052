"""What the engine stands on: rows of tokens that grow by one token a step, come and go.

`Decoder` is the contract; `ModelDecoder` keeps it for any language model through `forward` and its cache. The packed
decoder of Transformers (packed.py) and that of ONNX files (onnx_decoder.py) keep it too.

Shapes: B rows, T time, D d_model, V vocabulary.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from prospero.generation.pictured import picture_inputs
from prospero.model.base import LanguageModel

SCORED_AT_ONCE = 256
"""Tokens whose logits over the whole vocabulary are held at one time."""


class Decoder(Protocol):
    """A running batch; row i of what it returns is the i-th row in it."""

    @property
    def window(self) -> int | None:
        """Tokens that one row holds at most; None where there is no bound."""
        ...

    @property
    def rows(self) -> int:
        """How many rows are in the batch."""
        ...

    def add(
        self, prompts: Sequence[Sequence[int]], copies: Sequence[int], images: Sequence[np.ndarray] | None = None
    ) -> Tensor:
        """Read `prompts`; for each k put a row that holds `prompts[copies[k]]` below the others.

        `images` are the pictures before the prompts, uint8 [H, W, C]; ConfigError where the model reads none. Returns
        the logits [len(copies), V] of the token after each, in float32.
        """
        ...

    def step(self, tokens: Tensor) -> Tensor:
        """Add one token [B] to each row; return the logits [B, V] of the next, in float32."""
        ...

    def select(self, rows: Sequence[int]) -> None:
        """Keep `rows` in their order; one that is named twice is there twice from now on."""
        ...

    def scores(self, ids: Sequence[int]) -> Tensor:
        """Return the natural log-probability of each of `ids` after the first, [len(ids) - 1]; at most a window."""
        ...

    def hidden(self, input_ids: Tensor, document_ids: Tensor | None = None) -> Tensor:
        """Return what `project` makes logits of, [B, T, D], for whole rows of `input_ids` [B, T], at most a window.

        `document_ids` are those of training; a decoder whose model does not read them, or that cannot, ignores them.
        """
        ...

    def project(self, hidden: Tensor) -> Tensor:
        """Return the logits [..., V] of `hidden` [..., D]."""
        ...

    def session(self) -> AbstractContextManager[Any]:
        """What everything above runs in, besides `torch.inference_mode()`: a model in evaluation mode."""
        ...


class ModelDecoder:
    """Any language model, through its `forward`; its parameters may be sharded, and change between two texts."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self.cache: Any = None
        probe = model.new_cache(1, model.max_seq_len)
        self.window: int | None = model.max_seq_len if probe.bounded else None

    @property
    def rows(self) -> int:
        """How many rows are in the batch."""
        return 0 if self.cache is None else self.cache.batch_size

    def session(self) -> AbstractContextManager[Any]:
        """No dropout; the model goes back to the mode it was in."""
        return evaluating(self.model)

    @torch.inference_mode()
    def add(
        self, prompts: Sequence[Sequence[int]], copies: Sequence[int], images: Sequence[np.ndarray] | None = None
    ) -> Tensor:
        """Read prompts filled up on the right into a cache of their own, then join it to the running one."""
        seen = picture_inputs(self.model, images)
        device, counts = self.model.device, [len(prompt) for prompt in prompts]
        cache = self.model.new_cache(len(prompts), self.model.max_seq_len)
        padded = torch.tensor([[*prompt, *[0] * (max(counts) - len(prompt))] for prompt in prompts], device=device)
        lengths = torch.tensor(counts, device=device)
        cache.announce(lengths)
        hidden = self.model(padded, cache=cache, logits=False, **seen).hidden  # [B, T, D]
        logits = self.model.project(hidden[torch.arange(len(prompts), device=device), lengths - 1]).float()
        if list(copies) != list(range(len(prompts))):
            order = torch.tensor(list(copies), device=device)
            cache.select(order)
            logits = logits[order]
        if self.cache is None:
            self.cache = cache
        else:
            self.cache.join(cache)
        return logits

    @torch.inference_mode()
    def step(self, tokens: Tensor) -> Tensor:
        """One forward pass of one token a row."""
        output = self.model(tokens.view(-1, 1).to(self.model.device), cache=self.cache)
        return output.logits[:, -1].float()

    @torch.inference_mode()
    def select(self, rows: Sequence[int]) -> None:
        """Keep the caches of `rows`."""
        if not rows:
            self.cache = None
        elif list(rows) != list(range(self.rows)):
            self.cache.select(torch.tensor(list(rows), device=self.model.device))

    @torch.inference_mode()
    def scores(self, ids: Sequence[int]) -> Tensor:
        """One forward pass without a cache; the vocabulary product in pieces."""
        picture_inputs(self.model, None)
        row = torch.tensor([list(ids)], device=self.model.device)
        hidden = self.model(row, logits=False).hidden[0, :-1]
        return picked_log_probabilities(self.model.project, hidden, row[0, 1:])

    @torch.inference_mode()
    def hidden(self, input_ids: Tensor, document_ids: Tensor | None = None) -> Tensor:
        """One forward pass without a cache, as in a validation."""
        picture_inputs(self.model, None)
        device = self.model.device
        if document_ids is None or not self.model.reads_document_ids:
            return self.model(input_ids.to(device), logits=False).hidden
        return self.model(input_ids.to(device), document_ids=document_ids.to(device), logits=False).hidden

    @torch.inference_mode()
    def project(self, hidden: Tensor) -> Tensor:
        """The model's own head."""
        return self.model.project(hidden)


def picked_log_probabilities(project: Callable[[Tensor], Tensor], hidden: Tensor, targets: Tensor) -> Tensor:
    """Return the log-probability [T] of `targets` [T] under the logits that `project` makes of hidden [T, D]."""
    pieces = []
    for start in range(0, len(targets), SCORED_AT_ONCE):
        logits = project(hidden[start : start + SCORED_AT_ONCE]).float()
        picked = logits.gather(1, targets[start : start + SCORED_AT_ONCE].unsqueeze(1)).squeeze(1)
        pieces.append(picked - logits.logsumexp(dim=-1))
    return torch.cat(pieces) if pieces else hidden.new_zeros(0)


@contextmanager
def evaluating(model: LanguageModel) -> Iterator[None]:
    """Run `model` without dropout; it goes back to the mode it was in."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
