"""Completions of prompts by the engine of generation, groups side by side."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prospero.data.prompts import Prompt
from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.generation.decoder import Decoder
from prospero.generation.engine import Engine
from prospero.generation.sampling import SamplingConfig


@dataclass(frozen=True, slots=True)
class Drawn:
    """One completion."""

    ids: list[int]
    """All tokens drawn; the last is the separator where the model ended it."""
    text: str
    ended: bool


def draw(
    decoder: Decoder,
    tokenizer: Tokenizer,
    prompts: Sequence[tuple[int, Prompt]],
    sampling: SamplingConfig,
    *,
    rows: int,
    beat: Callable[[], None] = lambda: None,
) -> list[list[Drawn]]:
    """Return `sampling.n` completions of each (row, prompt).

    Text k of a row is a function of the weights, the prompt, the seed, the row and k (engine.py says what rounding can
    do), whatever is drawn beside it.
    """
    engine = Engine(decoder, tokenizer, max_rows=rows)
    places = {}
    for place, (row, prompt) in enumerate(prompts):
        for sample in range(sampling.n):
            places[engine.add(prompt.ids, sampling, row=row, sample=sample)] = (place, sample)
    found: dict[tuple[int, int], Drawn] = {}
    with decoder.session():
        while not engine.idle:
            for event in engine.step():
                if event.completion is not None:
                    ended = event.completion.ended_by == "separator"
                    ids = [*event.completion.ids, *([tokenizer.eot_id] if ended else [])]
                    found[places[event.row]] = Drawn(ids, event.completion.text, ended)
            beat()
    return [[found[place, sample] for sample in range(sampling.n)] for place in range(len(prompts))]
