"""The arithmetic of groups: which completion is better than the others of its prompt, and how much each token counts.

Shapes: P prompts, G completions of each.
"""

import numpy as np

from prospero.training.rollouts.settings import Normalization

_NO_SIGNAL = 1e-8
"""A standard deviation that is rounding alone: a group of equal rewards says nothing."""


def group_advantages(rewards: np.ndarray, *, by_std: bool) -> np.ndarray:
    """Return rewards [P, G] minus their group's mean, by the group's standard deviation (over G, not G - 1) if asked.

    Shao et al. 2024, section 4.1.2; 0 in groups whose rewards are all the same.
    """
    centred = rewards - rewards.mean(axis=1, keepdims=True)
    std = rewards.std(axis=1, keepdims=True)
    centred = np.where(std > _NO_SIGNAL, centred, 0.0)
    return centred / np.where(std > _NO_SIGNAL, std, 1.0) if by_std else centred


def without_signal(rewards: np.ndarray) -> float:
    """Return the share of groups [P, G] whose rewards are all the same."""
    return float((rewards.std(axis=1) <= _NO_SIGNAL).mean())


def token_weights(lengths: np.ndarray, normalization: Normalization, max_new_tokens: int) -> np.ndarray:
    """Return how much each token of completions of `lengths` [n] counts, [n].

    Their mean over all tokens times the number of tokens is what `normalization` asks for: the objective divides by
    the tokens of the step.
    """
    mean = lengths.mean()
    if normalization is Normalization.token:
        return np.ones(len(lengths))
    return mean / (lengths if normalization is Normalization.sequence else np.full(len(lengths), max_new_tokens))
