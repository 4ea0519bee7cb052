"""Whether text, budget and sequence length belong to a model of this size, and the recipe that brings those that do."""

import math

from prospero.runs.doctor.text import LEAST_PARAMETERS, LEAST_TOKENS_PER_PARAMETER, USUAL_TOKENS_PER_PARAMETER

RECIPES = {
    "gpt2_124m": 124_000_000,
    "350m": 355_000_000,
    "770m": 778_000_000,
    "1b": 1_320_000_000,
    "7b": 6_740_000_000,
}
"""Preset of `experiment=` -> parameters of its model."""
MOST_EPOCHS = 10.0
"""Repeating text helps little after about four epochs (Muennighoff et al. 2023, arXiv:2305.16264)."""
LEAST_SEQ_LEN = 512


def recipe_for(parameters: int) -> str:
    """Return the recipe whose model is nearest in size, by ratio."""
    return min(RECIPES, key=lambda name: abs(math.log(RECIPES[name] / parameters)))


def scale_line(*, parameters: int, text_tokens: int, trained_tokens: int | None, seq_len: int) -> str | None:
    """Return one line that says what does not fit the model's size, with the recipe's name; None where all fits.

    `text_tokens` is what one epoch reads, `trained_tokens` what the run reads; None when only the clock ends it.
    """
    if parameters < LEAST_PARAMETERS:
        return None
    doubts = []
    if text_tokens < parameters:
        doubts.append(f"the text has {text_tokens:,} tokens, fewer than the model has parameters")
    if trained_tokens is not None and trained_tokens < LEAST_TOKENS_PER_PARAMETER * parameters:
        ratio = trained_tokens / parameters
        doubts.append(f"{ratio:.1g} training tokens a parameter, where {USUAL_TOKENS_PER_PARAMETER} are usual")
    if trained_tokens is not None and trained_tokens > MOST_EPOCHS * text_tokens:
        doubts.append(f"{trained_tokens / text_tokens:.0f} times over the same text")
    if seq_len < LEAST_SEQ_LEN:
        doubts.append(f"sequences of only {seq_len} tokens")
    if not doubts:
        return None
    recipe = f"experiment={recipe_for(parameters)} brings data, length, batch and learning rate for this size"
    return f"this does not suit {_millions(parameters)} parameters: {'; '.join(doubts)}. {recipe}"


def _millions(count: int) -> str:
    return f"{count / 1e6:,.0f} M" if count < 1e9 else f"{count / 1e9:.1f} B"
