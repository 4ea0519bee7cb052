"""Text from a model: whole continuations of many prompts, or one continuation as it is written."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from prospero.data.tokenizer.tokenizer import StreamDecoder, Tokenizer
from prospero.generation.cache import Continuation
from prospero.generation.sampling import SamplingConfig, choose
from prospero.model.base import LanguageModel


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model wrote after a prompt."""

    text: str
    """The continuation, without the prompt and without the text that stopped it."""
    ids: list[int]
    """All ids drawn, without the separator."""
    ended_by: str
    """separator (the model closed the document), stop (one of the stop texts), or length."""


def generate(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    sampling: SamplingConfig,
    *,
    batch_size: int = 16,
) -> list[Completion]:
    """Continue each of `prompts`, `batch_size` at a time; the global random state is not touched.

    An empty prompt begins a document. Row i draws from a generator seeded by (seed, i): the same prompts give the same
    texts, whatever the batch size.
    """
    completions: list[Completion] = []
    for start in range(0, len(prompts), batch_size):
        part = prompts[start : start + batch_size]
        writers = [_Writer(tokenizer, sampling) for _ in part]
        for tokens in _tokens(model, tokenizer, part, sampling, first_row=start):
            for writer, token in zip(writers, tokens):
                writer.push(token)
            if all(writer.ended_by for writer in writers):
                break
        completions += [writer.finish() for writer in writers]
    return completions


def stream(model: LanguageModel, tokenizer: Tokenizer, prompt: str, sampling: SamplingConfig) -> Iterator[str]:
    """Yield the continuation of `prompt` piece by piece, in complete characters; joined, the text of `generate`."""
    writer = _Writer(tokenizer, sampling)
    for tokens in _tokens(model, tokenizer, [prompt], sampling):
        if piece := writer.push(tokens[0]):
            yield piece
        if writer.ended_by:
            break
    shown = writer.shown
    if rest := writer.finish().text[shown:]:
        yield rest


def _tokens(
    model: LanguageModel, tokenizer: Tokenizer, prompts: Sequence[str], sampling: SamplingConfig, first_row: int = 0
) -> Iterator[list[int]]:
    """Yield, step by step, the next token of each prompt, `max_new_tokens` times."""
    rows = [tokenizer.encode(prompt) or [tokenizer.eot_id] for prompt in prompts]
    generators = [_generator(sampling.seed, first_row + index) for index in range(len(rows))]
    with evaluating(model):
        seen = _seen(rows, model) if sampling.repetition_penalty != 1 else None
        continuation = Continuation(model, rows)
        for step in range(sampling.max_new_tokens):
            logits = continuation.logits[:, : tokenizer.vocab_size]  # a padded vocabulary has ids that mean nothing
            tokens = choose(logits, sampling, generators, None if seen is None else seen[:, : tokenizer.vocab_size])
            yield tokens.tolist()
            if seen is not None:
                seen.scatter_(1, tokens.unsqueeze(1), True)
            if step + 1 < sampling.max_new_tokens:
                continuation.append(tokens)


@contextmanager
def evaluating(model: LanguageModel) -> Iterator[None]:
    """Run `model` without dropout; it goes back to the mode it was in."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


class _Writer:
    """One continuation as text: complete characters, stop texts held back until they are ruled out."""

    def __init__(self, tokenizer: Tokenizer, sampling: SamplingConfig) -> None:
        self.decoder = StreamDecoder(tokenizer)
        self.eot_id, self.stop = tokenizer.eot_id, sampling.stop
        self.text, self.ids, self.ended_by = "", [], ""
        self.shown = 0

    def push(self, token: int) -> str:
        """Take the next token and return the text that can be shown now; nothing after the end."""
        if self.ended_by:
            return ""
        if token == self.eot_id:
            self.ended_by = "separator"
            return ""
        self.ids.append(token)
        self.text += self.decoder.push(token)
        self._cut()
        return self._show(len(self.text) - (0 if self.ended_by else self._pending()))

    def finish(self) -> Completion:
        """Return the whole, a half-received character included."""
        if self.ended_by != "stop":
            self.text += self.decoder.finish()
            self._cut()
        return Completion(self.text, self.ids, self.ended_by or "length")

    def _cut(self) -> None:
        """End before the first stop text."""
        places = [place for place in (self.text.find(stop) for stop in self.stop) if place >= 0]
        if places:
            self.text, self.ended_by = self.text[: min(places)], "stop"

    def _pending(self) -> int:
        """Return how many characters at the end may yet grow into a stop text."""
        longest = max((len(stop) for stop in self.stop), default=1) - 1
        for count in range(min(longest, len(self.text)), 0, -1):
            if any(stop.startswith(self.text[-count:]) for stop in self.stop):
                return count
        return 0

    def _show(self, end: int) -> str:
        piece, self.shown = self.text[self.shown : end], max(self.shown, end)
        return piece


def _generator(seed: int, row: int) -> torch.Generator:
    return torch.Generator().manual_seed((seed * 1_000_003 + row) % 2**63)


def _seen(rows: list[list[int]], model: LanguageModel) -> Tensor:
    """Return which tokens each row holds, bool [B, V]."""
    seen = torch.zeros(len(rows), model.vocab_size, dtype=torch.bool, device=model.device)
    for index, row in enumerate(rows):
        seen[index, row] = True
    return seen
