"""A batch of texts being continued: the model, its cache, and what happens when the window is full.

A Transformer's cache holds `max_seq_len` tokens. When it is full, the last half of the window of every row is encoded
anew and decoding goes on from there: positions start again within what the model was trained on, a token always has at
least half a window behind it, and the cost is one extra pass per half window. A recurrent model never fills up.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from prospero.model.base import LanguageModel


class Continuation:
    """Rows of tokens that grow by one token at a time; rows may differ in length."""

    def __init__(self, model: LanguageModel, prompts: Sequence[Sequence[int]]) -> None:
        if not prompts or not all(prompts):
            raise ValueError("every row needs at least one token to begin with")
        self.model = model
        self.rows = [list(prompt) for prompt in prompts]
        self.logits = self._encode(self.rows)
        """Logits [B, V] of the token after each row."""

    @torch.inference_mode()
    def append(self, tokens: Tensor) -> Tensor:
        """Add one token [B] to each row and return the logits [B, V] of the next."""
        for row, token in zip(self.rows, tokens.tolist()):
            row.append(token)
        if self.cache.full:
            half = max(1, self.cache.max_len // 2)
            self.logits = self._encode([row[-half:] for row in self.rows])
        else:
            output = self.model(tokens.view(-1, 1).to(self.model.device), cache=self.cache)
            self.logits = output.logits[:, -1]
        return self.logits

    @torch.inference_mode()
    def _encode(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Read `rows` into a fresh cache, filled up on the right, and return the logits after each row's end.

        Of a row longer than a Transformer's window, the end counts.
        """
        self.cache = self.model.new_cache(len(rows), self.model.max_seq_len)
        if self.cache.bounded:
            rows = [row[-self.model.max_seq_len :] for row in rows]
        device, counts = self.model.device, [len(row) for row in rows]
        padded = torch.tensor([[*row, *[0] * (max(counts) - len(row))] for row in rows], device=device)
        lengths = torch.tensor(counts, device=device)
        self.cache.announce(lengths)
        hidden = self.model(padded, cache=self.cache, logits=False).hidden  # [B, T, D]
        return self.model.project(hidden[torch.arange(len(rows), device=device), lengths - 1])
