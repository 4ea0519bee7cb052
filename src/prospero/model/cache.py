"""What decoding carries from one forward pass to the next: keys and values, or the state of a recurrent network.

Rows may differ in length. A batch of prompts is filled on the right, `announce` says how many tokens of each row are
real, and from then on every row writes at its own place: no row sees another's filling, positions are exact. Rows may
leave (`select`) and others join (`join`) between two forward passes.
"""

from collections.abc import Sequence
from typing import Self, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


class Cache:
    """The counting that all caches share."""

    bounded = True
    """Whether `max_len` is the most it holds."""

    def __init__(self, batch_size: int, max_len: int) -> None:
        self.batch_size = batch_size
        self.max_len = max_len
        self.length = 0
        """Tokens held, of the longest row."""
        self.lengths: Tensor | None = None
        """Tokens held by each row, [B]; None while all are equally long."""
        self.incoming: Tensor | None = None
        """Real tokens of each row in the next forward, [B]; None when all are real."""
        self.prefix = 0
        """Positions before the text, those of a picture; they are counted among the tokens held."""

    def begin_prefix(self, length: int) -> None:
        """Say that the next forward brings `length` positions before its tokens; ValueError when some are held."""
        if self.length:
            raise ValueError("a prefix stands before the text; the cache already holds tokens")
        self.prefix = length
        self.incoming = None if self.incoming is None else self.incoming + length

    def announce(self, lengths: Tensor) -> None:
        """Say that in the next forward only the first `lengths` [B] tokens of each row are real."""
        self.incoming = None if bool((lengths == lengths[0]).all()) and self.lengths is None else lengths

    @property
    def full(self) -> bool:
        """Whether not even one more token fits."""
        return self.bounded and self.length >= self.max_len

    def reserve(self, time: int) -> None:
        """Check that `time` more tokens fit; raises ValueError where they do not."""
        if self.bounded and self.length + time > self.max_len:
            raise ValueError(f"the cache holds {self.length} of {self.max_len} tokens; {time} more do not fit")

    def advance(self, time: int) -> None:
        """Count the `time` tokens (or the announced number) that a forward pass has just written."""
        if self.incoming is not None:
            base = self.lengths if self.lengths is not None else torch.full_like(self.incoming, self.length)
            self.lengths = base + self.incoming
            self.length = int(self.lengths.max())
        else:
            self.lengths = None if self.lengths is None else self.lengths + time
            self.length += time
        self.incoming = None

    def select(self, rows: Tensor) -> None:
        """Keep `rows` [R] (int64, on the device), in their order; a row that is named twice is there twice."""
        self.batch_size = len(rows)
        if self.lengths is not None:
            self.lengths = self.lengths[rows]
            self.length = int(self.lengths.max()) if len(rows) else 0

    def join(self, other: Self) -> None:
        """Add the rows of `other`, a cache of the same model and `max_len`, below the own ones."""
        if self.length != other.length or self.lengths is not None or other.lengths is not None:
            device = self._device()
            own = self.lengths if self.lengths is not None else torch.full((self.batch_size,), self.length)
            new = other.lengths if other.lengths is not None else torch.full((other.batch_size,), other.length)
            self.lengths = torch.cat((own.to(device), new.to(device)))
        self.batch_size += other.batch_size
        self.length = max(self.length, other.length)

    def _device(self) -> torch.device:
        """Where the state lies."""
        raise NotImplementedError

    def last_real(self, x: Tensor) -> Tensor:
        """Return the last real token of each row of x [B, T, D], as [B, 1, D]."""
        if self.incoming is None:
            return x[:, -1:]
        index = (self.incoming - 1).view(-1, 1, 1).expand(-1, 1, x.shape[-1])
        return x.gather(1, index)


class KVCache(Cache):
    """Keys and values of every layer, in memory taken once for `max_len` tokens."""

    def __init__(self, n_layers: int, batch_size: int, max_len: int) -> None:
        super().__init__(batch_size, max_len)
        self.keys: list[Tensor | None] = [None] * n_layers
        self.values: list[Tensor | None] = [None] * n_layers
        self.previous: dict[str, Tensor] = {}
        """For the one-token look-back: what each place saw last, [B, 1, D]."""

    def positions(self, time: int, device: torch.device) -> Tensor:
        """Return the positions of the next `time` tokens: [T], or [B, T] when rows differ in length."""
        steps = torch.arange(time, device=device)
        return self.length + steps if self.lengths is None else self.lengths.unsqueeze(1) + steps

    def mask(self, positions: Tensor, dtype: torch.dtype, window: int = 0) -> Tensor | None:
        """Return what the tokens at `positions` may see, added to scores; None where it is all or plainly causal.

        With a `window` that is its last keys, the token's own among them; 0 is no bound.
        """
        time = positions.shape[-1]
        bounded = 0 < window < self.length + time
        if self.lengths is None and (time == 1 or self.length == 0) and not bounded:
            return None
        keys = torch.arange(self.length + time, device=positions.device)
        hidden = keys > positions.unsqueeze(-1)  # [T, S] or [B, T, S]
        if bounded:
            hidden = hidden | (keys <= positions.unsqueeze(-1) - window)
        mask = torch.zeros(hidden.shape, dtype=dtype, device=hidden.device).masked_fill_(hidden, float("-inf"))
        return mask if mask.dim() == 2 else mask.unsqueeze(1)

    def update(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Write k, v [B, K, T, H] of the new tokens and return all held so far, [B, K, S, H]."""
        keys, values = self.keys[layer], self.values[layer]
        batch, heads, time, width = k.shape
        if keys is None or values is None:
            keys = k.new_zeros(batch, heads, self.max_len, width)
            values = torch.zeros_like(keys)
            self.keys[layer], self.values[layer] = keys, values
        end = self.length + time
        if self.lengths is None:
            keys[:, :, self.length : end] = k
            values[:, :, self.length : end] = v
        else:
            rows = torch.arange(batch, device=k.device).unsqueeze(1)
            places = self.positions(time, k.device)
            keys[rows, :, places] = k.transpose(1, 2)
            values[rows, :, places] = v.transpose(1, 2)
        return keys[:, :, :end], values[:, :, :end]

    def select(self, rows: Tensor) -> None:
        """Keep `rows` of keys, values and what came before."""
        Cache.select(self, rows)
        self.keys = [None if part is None else part[rows] for part in self.keys]
        self.values = [None if part is None else part[rows] for part in self.values]
        self.previous = {name: part[rows] for name, part in self.previous.items()}

    def join(self, other: Self) -> None:
        """Add the rows of `other`; both hold at least one token."""
        Cache.join(self, other)
        self.keys = [torch.cat((own, new)) for own, new in zip(_held(self.keys), _held(other.keys))]
        self.values = [torch.cat((own, new)) for own, new in zip(_held(self.values), _held(other.values))]
        self.previous = {name: torch.cat((part, other.previous[name])) for name, part in self.previous.items()}

    def _device(self) -> torch.device:
        return _held(self.keys)[0].device


class RecurrentState(Cache):
    """The state of every recurrent layer after the last token; its size does not grow, `max_len` is no bound."""

    bounded = False

    def __init__(self, n_layers: int, batch_size: int, max_len: int) -> None:
        super().__init__(batch_size, max_len)
        self.states: list[tuple[Tensor, ...] | None] = [None] * n_layers

    def select(self, rows: Tensor) -> None:
        """Keep the states of `rows`."""
        Cache.select(self, rows)
        self.states = [None if state is None else tuple(part[:, rows] for part in state) for state in self.states]

    def join(self, other: Self) -> None:
        """Add the states of `other`; both hold at least one token."""
        Cache.join(self, other)
        pairs = zip(_held(self.states), _held(other.states))
        self.states = [tuple(torch.cat(parts, dim=1) for parts in zip(own, new)) for own, new in pairs]

    def _device(self) -> torch.device:
        return _held(self.states)[0][0].device


def _held(layers: Sequence[T | None]) -> list[T]:
    """Return what every layer holds; ValueError before the first token."""
    held = [part for part in layers if part is not None]
    if len(held) != len(layers):
        raise ValueError("a cache without a token cannot be joined to another")
    return held
