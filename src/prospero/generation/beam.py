"""Beam search: the most probable text, looked for along `beams` continuations at a time (Graves 2012; Wu et al. 2016).

A text that is among the `beams` best of a step when it ends is put aside. The search ends when `beams` texts have, or
at `max_new_tokens`; then they are ranked by log-probability / tokens^length_penalty, the separator counted as a token.
Penalties on repetition and a watermark count. With one beam it is greedy decoding.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.generation.decoder import Decoder
from prospero.generation.engine import prompt_of, window_start
from prospero.generation.pictured import Pictured
from prospero.generation.sampling import SamplingConfig, adjust
from prospero.generation.settings import Context
from prospero.generation.text import Completion, Writer
from prospero.generation.watermark import mark


@dataclass(slots=True)
class _Beam:
    """A text on its way: what it holds after the prompt, and its log-probability (after penalties, and the model's)."""

    ids: list[int]
    total: float
    log_probabilities: list[float]


@torch.inference_mode()
def search(
    decoder: Decoder,
    tokenizer: Tokenizer,
    prompt: str | Pictured,
    sampling: SamplingConfig,
    *,
    context: Context = Context.refuse,
) -> list[Completion]:
    """Return the best `sampling.n` texts after `prompt`, the best first; a Transformer's window does not slide.

    The search ends where the window does. Raises ConfigError when the prompt is longer than the window.
    """
    ids, image = prompt_of(tokenizer, prompt)
    prompt_ids = ids[window_start(len(ids), decoder.window, context) :]
    longest = sampling.max_new_tokens
    if decoder.window is not None:
        longest = min(longest, decoder.window - len(prompt_ids) + 1)
    decoder.select([])
    logits = decoder.add([prompt_ids], [0]) if image is None else decoder.add([prompt_ids], [0], [image])
    running, ended = [_Beam([], 0.0, [])], list[_Beam]()
    while True:
        beams, sources = [], list[int]()
        for rank, (source, beam) in enumerate(_candidates(logits, running, prompt_ids, sampling, tokenizer.vocab_size)):
            if _has_ended(beam, tokenizer, sampling):
                ended += [beam] if rank < sampling.beams else []
            elif len(beams) < sampling.beams:
                beams.append(beam)
                sources.append(source)
        running = beams
        if not running or len(ended) >= sampling.beams or len(running[0].ids) >= longest:
            break
        decoder.select(sources)
        logits = decoder.step(torch.tensor([beam.ids[-1] for beam in running]))
    decoder.select([])
    if len(ended) < sampling.beams:
        ended += running
    best = sorted(ended, key=lambda beam: -beam.total / len(beam.ids) ** sampling.length_penalty)
    return [_writer(beam, tokenizer, sampling).finish() for beam in best[: sampling.n]]


def _candidates(
    logits: Tensor, beams: Sequence[_Beam], prompt: list[int], sampling: SamplingConfig, vocab_size: int
) -> list[tuple[int, _Beam]]:
    """Return the most probable continuations by one token of all beams, best first, with the beam each comes from."""
    texts = [[*prompt, *beam.ids] for beam in beams]
    adjusted = adjust(logits[:, :vocab_size], sampling, texts)
    if sampling.watermark.key is not None:
        adjusted = mark(adjusted, sampling.watermark, texts)
    gains = adjusted.log_softmax(dim=-1).cpu().double().nan_to_num(nan=float("-inf"))  # nan: the rules leave no token
    totals = gains + torch.tensor([[beam.total] for beam in beams], dtype=torch.float64)
    # Each beam can end in one way, by the separator (stop texts aside): of twice as many, `beams` go on.
    count = min(2 * sampling.beams, totals.numel())
    best, places = totals.flatten().topk(count)
    own = logits.log_softmax(dim=-1)
    found = []
    for total, place in zip(best.tolist(), places.tolist()):
        if total == float("-inf"):
            break
        source, token = divmod(place, totals.shape[1])
        old = beams[source]
        facts = [*old.log_probabilities, float(own[source, token])]
        found.append((source, replace(old, ids=[*old.ids, token], total=total, log_probabilities=facts)))
    return found


def _has_ended(beam: _Beam, tokenizer: Tokenizer, sampling: SamplingConfig) -> bool:
    if beam.ids[-1] == tokenizer.eot_id:
        return True
    return bool(sampling.stop) and _writer(beam, tokenizer, sampling).ended_by == "stop"


def _writer(beam: _Beam, tokenizer: Tokenizer, sampling: SamplingConfig) -> Writer:
    writer = Writer(tokenizer, sampling)
    for token, log_probability in zip(beam.ids, beam.log_probabilities):
        writer.push(token, log_probability)
    return writer
