"""How likely a model thinks the ends of texts that begin alike."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from prospero.evaluation.measurement import Subject
from prospero.generation.engine import first_ids
from prospero.generation.generate import score_ids
from prospero.generation.weighing import weigh

NATS_PER_BIT = math.log(2)


@dataclass(frozen=True, slots=True)
class Ending:
    """The ids of a beginning and of what follows it."""

    before: list[int]
    """At least one."""
    after: list[int]


def endings(subject: Subject, beginning: str, ends: Sequence[str]) -> list[Ending]:
    """Return the ids of `beginning` with each of `ends`, encoded as one text.

    A token may span the place where they meet. What all of these texts and the beginning alone have in common is
    `before`, the same for all ends, so that their likelihoods can be compared; where tokens end at the meeting place,
    that is the beginning (as in lm-evaluation-harness). An empty beginning is the start of a document.
    """
    first = first_ids(subject.tokenizer, "")[:1]
    start = first if subject.tokenizer.bos_id is not None or not beginning else []
    alone = [*start, *subject.tokenizer.encode(beginning)]
    wholes = [[*start, *subject.tokenizer.encode(beginning + end)] for end in ends]
    shared = len(alone)
    for ids in wholes:
        same = 0
        while same < min(shared, len(ids) - 1) and ids[same] == alone[same]:
            same += 1
        shared = same
    if shared == 0:  # the very first token differs: it is predicted from the start of a document
        return [Ending(first, ids) for ids in wholes]
    return [Ending(ids[:shared], ids[shared:]) for ids in wholes]


def log_likelihoods(subject: Subject, wanted: Sequence[Ending]) -> list[float]:
    """Return the natural log-probability of what follows each beginning; of one too long for the model its end counts.

    `subject.rows` of like length are read side by side; equal ones are read once, so that they are exactly equal.
    """
    found: dict[tuple[tuple[int, ...], int], float] = {}
    rows, window = [_row(subject, ending) for ending in wanted], subject.decoder.window
    for ids, count in dict.fromkeys(rows):
        if window is not None and len(ids) > window:  # what follows alone fills the window, which slides
            with subject.decoder.session():
                found[ids, count] = math.fsum(score_ids(subject.decoder, ids)[len(ids) - 1 - count :])
    short = sorted(set(rows) - found.keys(), key=lambda row: (len(row[0]), row))
    for start in range(0, len(short), subject.rows):
        batch = short[start : start + subject.rows]
        with subject.decoder.session():
            weighed = weigh(subject.decoder, [ids for ids, _ in batch], [count for _, count in batch])
        found |= {row: math.fsum(ending.log_probabilities.tolist()) for row, ending in zip(batch, weighed)}
    return [found[row] for row in rows]


def _row(subject: Subject, ending: Ending) -> tuple[tuple[int, ...], int]:
    """Return the ids that are read, and how many of them follow the beginning."""
    ids, window = (*ending.before, *ending.after), subject.decoder.window
    if window is not None and len(ids) > window > len(ending.after):
        ids = ids[len(ids) - window :]
    return ids, len(ending.after)


def utf8_bytes(text: str) -> int:
    """Return the bytes of `text`."""
    return len(text.encode())


def bits_and_bytes(subject: Subject, pairs: Sequence[tuple[str, str]]) -> list[list[float]]:
    """Return for each (beginning, end) the bits that the end costs there, and its bytes; both 0 where there is none."""
    wanted = {place: endings(subject, before, [end])[0] for place, (before, end) in enumerate(pairs) if end}
    nats = dict(zip(wanted, log_likelihoods(subject, list(wanted.values()))))
    return [
        [-nats[place] / NATS_PER_BIT, float(utf8_bytes(end))] if end else [0.0, 0.0]
        for place, (_, end) in enumerate(pairs)
    ]
