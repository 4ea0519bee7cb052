"""Text from a model: continuations of many prompts, one continuation as it is written, the odds of a given text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.generation.beam import search
from prospero.generation.decoder import Decoder, ModelDecoder
from prospero.generation.engine import Engine, first_ids
from prospero.generation.pictured import Pictured
from prospero.generation.sampling import SamplingConfig
from prospero.generation.settings import Context
from prospero.generation.text import Completion
from prospero.model.base import LanguageModel


def generate(
    model: LanguageModel | Decoder,
    tokenizer: Tokenizer,
    prompts: Sequence[str | Pictured],
    sampling: SamplingConfig,
    *,
    batch_size: int = 16,
    context: Context = Context.refuse,
    log_probabilities: bool = False,
) -> list[Completion]:
    """Continue each of `prompts`, up to `batch_size` side by side; the global random state is not touched.

    Returns `sampling.n` texts for each prompt, those of a prompt beside each other. An empty prompt begins a document.
    Text k of prompt i draws from a generator seeded by (seed, i, k): the same prompts give the same texts, whatever the
    batch size.
    """
    found: dict[int, list[Completion]] = {}
    jobs = ((index, prompt) for index, prompt in enumerate(prompts))
    for index, completions in continuations(
        model, tokenizer, jobs, sampling, batch_size=batch_size, context=context, log_probabilities=log_probabilities
    ):
        found[index] = completions
    return [completion for index in range(len(prompts)) for completion in found[index]]


def continuations(
    model: LanguageModel | Decoder,
    tokenizer: Tokenizer,
    jobs: Iterator[tuple[int, str | Pictured]] | Iterator[tuple[int, str]],
    sampling: SamplingConfig,
    *,
    batch_size: int = 16,
    context: Context = Context.refuse,
    log_probabilities: bool = False,
) -> Iterator[tuple[int, list[Completion]]]:
    """Yield (number, its `sampling.n` texts) of each (number, prompt) in `jobs`, whichever has ended first.

    `jobs` is read as rows come free, never far ahead.
    """
    decoder = decoder_of(model)
    if sampling.beams > 1:
        with decoder.session():
            for number, prompt in jobs:
                yield number, search(decoder, tokenizer, prompt, sampling, context=context)
        return
    engine = Engine(decoder, tokenizer, max_rows=batch_size, context=context, log_probabilities=log_probabilities)
    owners: dict[int, tuple[int, int]] = {}  # handle -> (number of the prompt, of its text)
    texts: dict[int, dict[int, Completion]] = {}
    with decoder.session():
        while True:
            while len(owners) < batch_size and (job := next(jobs, None)) is not None:
                number, prompt = job
                for sample in range(sampling.n):
                    owners[engine.add(prompt, sampling, row=number, sample=sample)] = (number, sample)
            if engine.idle:
                return
            for event in engine.step():
                if event.completion is None:
                    continue
                number, sample = owners.pop(event.row)
                ended = texts.setdefault(number, {})
                ended[sample] = event.completion
                if len(ended) == sampling.n:
                    yield number, [completion for _, completion in sorted(texts.pop(number).items())]


def stream(
    model: LanguageModel | Decoder,
    tokenizer: Tokenizer,
    prompt: str | Pictured,
    sampling: SamplingConfig,
    *,
    sample: int = 0,
    context: Context = Context.refuse,
) -> Iterator[str]:
    """Yield text number `sample` of `prompt` piece by piece, in complete characters; joined, the text of `generate`."""
    decoder = decoder_of(model)
    engine = Engine(decoder, tokenizer, max_rows=1, context=context)
    engine.add(prompt, replace(sampling, n=1), sample=sample)
    while not engine.idle:
        with decoder.session():
            events = engine.step()
        for event in events:
            if event.text:
                yield event.text


@dataclass(frozen=True, slots=True)
class Scored:
    """A given text and how likely the model thought each of its tokens."""

    ids: list[int]
    log_probabilities: list[float]
    """Natural logarithm, one for each id."""


def score(model: LanguageModel | Decoder, tokenizer: Tokenizer, text: str) -> Scored:
    """Return the log-probability of each token of `text`, as a document: after the separator (or the tokenizer's BOS).

    A text longer than the window is read in windows that overlap by half: each token has at least half a window behind
    it, but for those at the beginning.
    """
    decoder = decoder_of(model)
    beginning = first_ids(tokenizer, "")[:1]
    ids = [*beginning, *tokenizer.encode(text)]
    with decoder.session():
        return Scored(ids[1:], score_ids(decoder, ids))


def score_ids(decoder: Decoder, ids: Sequence[int]) -> list[float]:
    """Return the log-probability of each of `ids` after the first."""
    window = decoder.window
    if window is None or len(ids) <= window:
        return decoder.scores(ids).tolist()
    found = decoder.scores(ids[:window]).tolist()
    while len(found) < len(ids) - 1:
        start = len(found) + 1 - max(1, window // 2)  # the first that is scored next has half a window behind it
        part = ids[start : start + window]
        found += decoder.scores(part).tolist()[len(found) - start :]
    return found


def decoder_of(model: LanguageModel | Decoder) -> Decoder:
    """Return what decodes with `model`; a decoder is one already."""
    return ModelDecoder(model) if isinstance(model, torch.nn.Module) else model
