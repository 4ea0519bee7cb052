"""Continuous batching: rows of unequal length grow side by side, those that end make room for those that wait.

Each row has its own settings, its own source of random numbers and its own window, so that its text does not depend on
the rows beside it. (Sums are rounded differently in batches of different size: where two tokens are equally probable to
seven digits, the batch can tip the scale.)

A Transformer's window holds `max_seq_len` tokens. When a row has filled it, the last half of that row is read anew and
decoding goes on from there: positions start again within what the model was trained on, a token always has at least
half a window behind it, and the cost is one extra pass per half window. A recurrent model never fills up.
"""

import random
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.errors import ConfigError
from prospero.generation.decoder import Decoder
from prospero.generation.pictured import Pictured
from prospero.generation.sampling import SamplingConfig, choose, generator_of, rules_of
from prospero.generation.settings import Context
from prospero.generation.text import Completion, Writer
from prospero.log import log


@dataclass(frozen=True, slots=True)
class Likely:
    """A token that was drawn, and what the model (before temperature and penalties) thought of it and of others."""

    id: int
    log_probability: float
    """Natural logarithm, as those of `top`."""
    top: list[tuple[int, float]]
    """The most probable (id, log-probability), as many as `add` was asked for, the first one first."""
    start: int
    """Characters of the row's text before this token."""


@dataclass(frozen=True, slots=True)
class Event:
    """One token of one row."""

    row: int
    """The handle that `add` returned."""
    text: str
    """What can be shown now, in complete characters; joined over the events of a row, the completion's text."""
    completion: Completion | None
    """The whole, where the row has ended."""
    likely: Likely | None = None
    """The token, where `add` was asked for `top` and it is no end of a text."""


class _Row:
    """One text on its way."""

    def __init__(
        self,
        handle: int,
        ids: list[int],
        sampling: SamplingConfig,
        generator: random.Random,
        writer: Writer,
        image: np.ndarray | None = None,
        top: int | None = None,
    ) -> None:
        self.handle, self.ids, self.sampling, self.generator, self.writer = handle, ids, sampling, generator, writer
        self.prompt_tokens, self.image, self.top = len(ids), image, top
        self.rules = rules_of(sampling)
        self.start = 0
        """Where the window begins."""


class Engine:
    """A running batch of at most `max_rows` rows over a decoder; `add` and `remove` may be called between steps."""

    def __init__(
        self,
        decoder: Decoder,
        tokenizer: Tokenizer,
        *,
        max_rows: int = 16,
        context: Context = Context.refuse,
        log_probabilities: bool = False,
        ends: Collection[int] = (),
    ) -> None:
        if max_rows < 1:
            raise ValueError(f"max_rows={max_rows} leaves no room for any row")
        self.decoder, self.tokenizer, self.max_rows, self.context = decoder, tokenizer, max_rows, context
        self.ends = frozenset(ends)
        """Tokens that end a text beside the separator, such as that which closes a turn of a dialogue."""
        self.log_probabilities = log_probabilities
        """Whether completions hold the log-probability of each token."""
        decoder.select([])  # what an earlier engine has left in it
        self._waiting: deque[_Row] = deque()
        self._running: list[_Row] = []
        self._logits: Tensor | None = None  # of the token after each running row, [B, V]
        self._handles = 0

    def add(
        self,
        prompt: str | Pictured | Sequence[int],
        sampling: SamplingConfig,
        *,
        row: int = 0,
        sample: int = 0,
        top: int | None = None,
        ends: Collection[int] = (),
    ) -> int:
        """Let a prompt (text, with or without a picture, or ids) wait for its place; returns the handle of its events.

        `row` and `sample`, with the seed of `sampling`, decide its draws; with `top` each event says how likely its
        token was, beside that many most probable ones; `ends` end this text beside the engine's own. Raises ConfigError
        when the prompt is longer than the context (with `Context.slide` its end counts), and for a beam search, which
        is `beam.search`.
        """
        if sampling.beams > 1:
            raise ConfigError(f"beams={sampling.beams} is a search of its own; a running batch takes beams=1")
        ids, image = prompt_of(self.tokenizer, prompt)
        if not ids:
            raise ValueError("a row needs at least one token to begin with")
        writer = Writer(self.tokenizer, sampling, self.ends.union(ends))
        new = _Row(self._handles, ids, sampling, generator_of(sampling.seed, row, sample), writer, image, top)
        new.start = window_start(len(ids), self.decoder.window, self.context)
        self._handles += 1
        self._waiting.append(new)
        return new.handle

    def remove(self, handle: int) -> Completion | None:
        """Take a row out, whether it waits or runs; returns what it has written, None when there is no such row."""
        for row in self._waiting:
            if row.handle == handle:
                self._waiting.remove(row)
                return row.writer.finish()
        for index, row in enumerate(self._running):
            if row.handle == handle:
                self._keep([other for other in range(len(self._running)) if other != index])
                return row.writer.finish()
        return None

    @property
    def waiting(self) -> int:
        """How many rows wait for their place."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """How many rows are in the batch."""
        return len(self._running)

    @property
    def idle(self) -> bool:
        """Whether no row waits or runs."""
        return not self._waiting and not self._running

    @torch.inference_mode()
    def step(self) -> list[Event]:
        """Admit what waits, add one token to each running row and return what came of it."""
        room = self.max_rows - len(self._running)
        if room > 0 and self._waiting:
            self._read([self._waiting.popleft() for _ in range(min(room, len(self._waiting)))])
        if not self._running or self._logits is None:
            return []
        tokens, log_probabilities = self._choose(self._logits)
        best = self._best(self._logits)
        events = [
            self._push(*facts, best.get(i)) for i, facts in enumerate(zip(self._running, tokens, log_probabilities))
        ]
        self._keep([index for index, event in enumerate(events) if event.completion is None])
        if self._running:
            self._advance([token for token, event in zip(tokens, events) if event.completion is None])
        return events

    def _choose(self, logits: Tensor) -> tuple[list[int], Sequence[float | None]]:
        """Return the next token of each running row, and its log-probability where they are asked for."""
        legal = logits[:, : self.tokenizer.vocab_size]  # a padded vocabulary has ids that mean nothing
        alike: dict[tuple[object, ...], list[int]] = {}
        for index, row in enumerate(self._running):
            alike.setdefault(row.rules, []).append(index)
        tokens = [0] * len(self._running)
        for group in alike.values():
            rows = [self._running[index] for index in group]
            part = legal if len(group) == len(tokens) else legal[torch.tensor(group, device=legal.device)]
            drawn = choose(part, rows[0].sampling, [row.generator for row in rows], [row.ids for row in rows])
            for index, token in zip(group, drawn.tolist()):
                tokens[index] = token
        if not self.log_probabilities and all(row.top is None for row in self._running):
            return tokens, [None] * len(tokens)
        chosen = logits.gather(1, torch.tensor(tokens, device=logits.device).unsqueeze(1)).squeeze(1)
        return tokens, (chosen - logits.logsumexp(dim=-1)).tolist()

    def _best(self, logits: Tensor) -> dict[int, list[tuple[int, float]]]:
        """Return the most probable (id, log-probability) of each row that asks for them, by its place in the batch."""
        asked = [index for index, row in enumerate(self._running) if row.top is not None]
        if not asked:
            return {}
        wanted = logits[torch.tensor(asked, device=logits.device)]
        most = min(max(self._running[index].top or 0 for index in asked), self.tokenizer.vocab_size)
        values, ids = wanted[:, : self.tokenizer.vocab_size].topk(most, dim=-1)
        values = values - wanted.logsumexp(dim=-1, keepdim=True)
        pairs = [list(zip(*both)) for both in zip(ids.tolist(), values.tolist())]
        return {index: found[: self._running[index].top] for index, found in zip(asked, pairs)}

    def _push(
        self, row: _Row, token: int, log_probability: float | None, best: list[tuple[int, float]] | None
    ) -> Event:
        row.ids.append(token)
        shown, start = row.writer.shown, len(row.writer.text)
        piece = row.writer.push(token, log_probability)
        likely = None
        if best is not None and log_probability is not None and row.writer.ended_by != "separator":
            likely = Likely(token, log_probability, best, start)
        if not row.writer.ended_by and len(row.ids) - row.prompt_tokens < row.sampling.max_new_tokens:
            return Event(row.handle, piece, None, likely)
        completion = row.writer.finish()
        return Event(row.handle, completion.text[shown:], completion, likely)

    def _advance(self, tokens: list[int]) -> None:
        """Give the decoder the tokens just chosen; a row that has filled its window reads its last half anew."""
        window = self.decoder.window
        full = [] if window is None else [r for r in self._running if len(r.ids) - r.start > window]
        if full and window is not None:
            for row in full:
                row.start = len(row.ids) - max(1, window // 2)
            stay = [index for index, row in enumerate(self._running) if row not in full]
            tokens = [tokens[index] for index in stay]
            self._keep(stay)
        self._logits = self.decoder.step(torch.tensor(tokens)) if tokens else None
        if full:
            self._read(full)

    def _read(self, rows: list[_Row]) -> None:
        """Read the windows of `rows` and put them below the running ones; equal ones are read once."""
        places: dict[tuple[tuple[int, ...], int], int] = {}
        copies = [places.setdefault((tuple(row.ids[row.start :]), id(row.image)), len(places)) for row in rows]
        windows, first = [list(window) for window, _ in places], [copies.index(place) for place in range(len(places))]
        images = [image for image in (rows[place].image for place in first) if image is not None]
        if images and len(images) < len(windows):
            raise ConfigError("some prompts come with a picture and some without; give one with each, or with none")
        logits = self.decoder.add(windows, copies, images) if images else self.decoder.add(windows, copies)
        self._logits = logits if self._logits is None else torch.cat((self._logits, logits))
        self._running += rows

    @torch.inference_mode()
    def _keep(self, rows: list[int]) -> None:
        if len(rows) == len(self._running):
            return
        self.decoder.select(rows)
        self._running = [self._running[index] for index in rows]
        assert self._logits is not None
        self._logits = self._logits[rows] if rows else None


def prompt_of(tokenizer: Tokenizer, prompt: str | Pictured | Sequence[int]) -> tuple[list[int], np.ndarray | None]:
    """Return the ids that a prompt begins with, and its picture; after a picture the text begins as a document does."""
    if isinstance(prompt, Pictured):
        return [*first_ids(tokenizer, "")[:1], *tokenizer.encode(prompt.text)], prompt.image
    return (first_ids(tokenizer, prompt) if isinstance(prompt, str) else list(prompt)), None


def first_ids(tokenizer: Tokenizer, prompt: str) -> list[int]:
    """Return the ids a text begins with: the tokenizer's BOS where it puts one, and for an empty text the separator."""
    ids = tokenizer.encode(prompt)
    if tokenizer.bos_id is not None:
        return [tokenizer.bos_id, *ids]
    return ids or [tokenizer.eot_id]


def window_start(tokens: int, window: int | None, context: Context) -> int:
    """Return where the window of a prompt begins; ConfigError when it does not fit and must not slide."""
    if window is None or tokens <= window:
        return 0
    facts = f"the prompt has {tokens:,} tokens and the model reads {window:,} at once"
    if context is Context.refuse:
        raise ConfigError(f"{facts}; shorten it by {tokens - window:,}, or let only its end count with context=slide")
    log.warning("%s: only the last of them count", facts)
    return tokens - window
