"""The rank of a right answer among all candidates, by how likely the model thinks each after one beginning.

The beginning is read once, and the candidates are followed token by token from there.

Shapes: C candidates, V vocabulary.
"""

import math
from collections.abc import Sequence

import torch

from prospero.errors import ConfigError
from prospero.evaluation.measurement import Subject
from prospero.evaluation.tasks.likelihood import endings
from prospero.generation.engine import first_ids

AT_ONCE = 128
"""Candidates that are followed side by side."""


def candidate_log_likelihoods(subject: Subject, beginning: str, ends: Sequence[str]) -> tuple[list[float], list[int]]:
    """Return the natural log-probability and the tokens of each end after `beginning`, at the start of a document.

    Of a beginning that is too long for the window with the longest end its end counts. ConfigError where an end alone
    fills the window.
    """
    asked = endings(subject, beginning, ends)
    start = first_ids(subject.tokenizer, "")[:1]
    before = asked[0].before if asked[0].before[:1] == start else [*start, *asked[0].before]
    longest, window = max(len(ending.after) for ending in asked), subject.decoder.window
    if window is not None:
        if longest >= window:
            raise ConfigError(f"a candidate has {longest} tokens, and the model reads {window} at once; leave it out")
        before = before[-(window - longest) :]
    return _followed(subject, before, [ending.after for ending in asked]), [len(ending.after) for ending in asked]


@torch.inference_mode()
def _followed(subject: Subject, before: list[int], ends: Sequence[list[int]]) -> list[float]:
    decoder, found, tokens = subject.decoder, [0.0] * len(ends), torch.zeros(0, dtype=torch.long)
    order = sorted(range(len(ends)), key=lambda place: len(ends[place]))
    with decoder.session():
        for start in range(0, len(order), AT_ONCE):
            rows = order[start : start + AT_ONCE]
            decoder.select([])
            logits = decoder.add([before], [0] * len(rows))  # [C, V]
            for step in range(len(ends[rows[-1]])):  # the last is the longest
                going = [place for place, row in enumerate(rows) if len(ends[row]) > step]
                if step:
                    if 2 * len(going) <= len(rows):  # a choice of rows copies what the decoder holds
                        decoder.select(going)
                        rows, tokens, going = [rows[place] for place in going], tokens[going], list(range(len(going)))
                    logits = decoder.step(tokens)
                tokens = torch.tensor([(ends[row] + [0])[min(step, len(ends[row]))] for row in rows])
                tokens = tokens.to(logits.device)
                picked = logits.gather(1, tokens.unsqueeze(1)).squeeze(1) - logits.logsumexp(dim=-1)
                values = picked.tolist()
                for place in going:
                    found[rows[place]] += values[place]
        decoder.select([])
    return found


def rank(scores: Sequence[float], right: int, leave_out: frozenset[int] = frozenset()) -> float:
    """Return the place of `right` from 1; between the best and the worst place where others are equally good.

    `leave_out` are candidates that do not count against it. NaN is worse than every number.
    """
    worth = [-math.inf if math.isnan(score) else score for score in scores]
    others = [value for place, value in enumerate(worth) if place != right and place not in leave_out]
    if math.isnan(scores[right]):
        return 1.0 + len(others)
    better = sum(value > worth[right] for value in others)
    return 1.0 + better + sum(value == worth[right] for value in others) / 2
