"""Which decoder writes the text of a model: by the precision asked for, or the fastest that is good enough."""

import math
import time

import torch

from prospero.errors import ConfigError
from prospero.generation.decoder import Decoder, ModelDecoder
from prospero.generation.generate import score_ids
from prospero.generation.packed import PackedDecoder, why_not
from prospero.generation.settings import Precision
from prospero.generation.validation_text import ValidationText
from prospero.log import log
from prospero.model.base import LanguageModel

WORST_RATIO = 1.005
"""How many times the bits per byte of float32 a choice of `auto` may have."""
WARM_UP, TIMED = 3, 12
"""Steps before and in a measurement of speed."""


def decoder_for(
    model: LanguageModel, precision: Precision, validation: ValidationText | None, *, rows: int = 1
) -> Decoder:
    """Return what decodes `model` in `precision`; a narrow one says its bits per byte before and after.

    `auto` takes the fastest at `rows` rows, by the clock; narrow ones only where `validation` shows that they are at
    most `WORST_RATIO` as bad. Raises ConfigError where the model cannot be held in the precision asked for.
    """
    odd = why_not(model)
    if odd is not None:
        if precision in (Precision.bf16, Precision.int8):
            raise ConfigError(
                f"precision={precision.name} is for Transformers of the usual parts, and this model has {odd}; "
                "choose precision=float32"
            )
        log.info("precision: float32, through the model's own forward (it has %s)", odd)
        return ModelDecoder(model)
    exact = PackedDecoder(model)  # type: ignore[arg-type]  # why_not has seen that it is a Transformer
    if precision is Precision.float32:
        return exact
    if precision is not Precision.auto:
        narrow = PackedDecoder(model, precision)  # type: ignore[arg-type]
        log.info("precision: %s; %s", precision.name, _compared(exact, narrow, validation)[0])
        return narrow
    return _fastest(model, exact, validation, rows)


def _fastest(model: LanguageModel, exact: PackedDecoder, validation: ValidationText | None, rows: int) -> PackedDecoder:
    kinds = [Precision.bf16] + ([Precision.int8] if model.device.type == "cpu" else [])
    seconds = {exact: _seconds_a_step(exact, rows)}
    for kind in kinds:
        candidate = PackedDecoder(model, kind)  # type: ignore[arg-type]
        seconds[candidate] = _seconds_a_step(candidate, rows)
    times = ", ".join(f"{one.precision.name} {1000 * took:.1f}" for one, took in seconds.items())
    said = ""
    for candidate in sorted(seconds, key=lambda one: seconds[one]):
        if candidate is not exact:
            facts, ratio = _compared(exact, candidate, validation)
            said += f"; {candidate.precision.name}: {facts}"
            if ratio is None or ratio > WORST_RATIO:
                continue
        log.info("precision: %s (ms a step: %s)%s", candidate.precision.name, times, said)
        return candidate
    raise AssertionError("float32 is always good enough")


def _compared(exact: Decoder, narrow: Decoder, validation: ValidationText | None) -> tuple[str, float | None]:
    """Return what is said of the bits per byte before and after, and their ratio."""
    if validation is None:
        return "bits per byte cannot be measured: the run's prepared data are not here", None
    before, after = _bits_per_byte(exact, validation), _bits_per_byte(narrow, validation)
    change = f"bits per byte {before:.4f} -> {after:.4f} ({after / before - 1:+.2%})"
    return f"{change} on {len(validation.ids) - 1:,} tokens of validation", after / before


def _bits_per_byte(decoder: Decoder, text: ValidationText) -> float:
    with decoder.session():
        return -sum(score_ids(decoder, text.ids)) / math.log(2) / text.n_bytes


def _seconds_a_step(decoder: Decoder, rows: int) -> float:
    """Return the median seconds of a decode step of `rows` rows."""
    took = []
    with torch.inference_mode():
        tokens = decoder.add([[0]], [0] * rows).argmax(dim=-1)
        steps = WARM_UP + TIMED if decoder.window is None else min(WARM_UP + TIMED, decoder.window - 1)
        for _ in range(steps):
            start = time.perf_counter()
            tokens = decoder.step(tokens).argmax(dim=-1)
            took.append(time.perf_counter() - start)
    decoder.select([])
    return sorted(took[WARM_UP:] or took or [0.0])[len(took[WARM_UP:]) // 2]
