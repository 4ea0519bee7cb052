"""A batch of texts being continued: the model, its cache, and what happens when the window is full.

A Transformer's cache holds `max_seq_len` tokens. When a row has filled it, the last half of that row is encoded anew
and decoding goes on from there: positions start again within what the model was trained on, a token always has at
least half a window behind it, and the cost is one extra pass per half window. Rows that still have room keep all they
have, so that a row's text does not depend on the rows beside it. A recurrent model never fills up.
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
        self.starts = [0] * len(self.rows)  # where the window of each row begins
        self.logits = self._encode()
        """Logits [B, V] of the token after each row."""

    @torch.inference_mode()
    def append(self, tokens: Tensor) -> Tensor:
        """Add one token [B] to each row and return the logits [B, V] of the next."""
        for row, token in zip(self.rows, tokens.tolist()):
            row.append(token)
        if self.cache.full:
            window = self.cache.max_len
            for index, row in enumerate(self.rows):
                if len(row) - self.starts[index] > window:
                    self.starts[index] = len(row) - max(1, window // 2)
            self.logits = self._encode()
        else:
            output = self.model(tokens.view(-1, 1).to(self.model.device), cache=self.cache)
            self.logits = output.logits[:, -1]
        return self.logits

    @torch.inference_mode()
    def _encode(self) -> Tensor:
        """Read the window of each row into a fresh cache, filled up on the right; return the logits after its end.

        Of a prompt longer than a Transformer's window, the end counts.
        """
        self.cache = self.model.new_cache(len(self.rows), self.model.max_seq_len)
        if self.cache.bounded:
            longest = self.cache.max_len
            self.starts = [max(start, len(row) - longest) for start, row in zip(self.starts, self.rows)]
        windows = [row[start:] for start, row in zip(self.starts, self.rows)]
        device, counts = self.model.device, [len(window) for window in windows]
        padded = torch.tensor([[*window, *[0] * (max(counts) - len(window))] for window in windows], device=device)
        lengths = torch.tensor(counts, device=device)
        self.cache.announce(lengths)
        hidden = self.model(padded, cache=self.cache, logits=False).hidden  # [B, T, D]
        return self.model.project(hidden[torch.arange(len(windows), device=device), lengths - 1])
