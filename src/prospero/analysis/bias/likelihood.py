"""The log-probability of each token of many texts, and which of these tokens two texts are compared by."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import Enum

from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.evaluation.measurement import Subject
from prospero.generation.engine import first_ids
from prospero.generation.generate import score_ids
from prospero.generation.weighing import weigh


class Scored(Enum):
    """Which tokens of two texts that differ in a few words are compared."""

    whole = "whole"
    """All of them: what is measured holds how frequent the differing words are by themselves."""
    after = "after"
    """Those after the last that differs, given all before: the same tokens in both texts, so that the frequency of the
    differing words plays no part."""
    shared = "shared"
    """Those that both texts have, given all before each: the idea of CrowS-Pairs (Nangia et al. 2020), p(unmodified |
    modified), for a model that reads from left to right: a modified word counts for what follows it alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two texts that differ in who they are about."""

    first: str
    second: str


def document_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """Return the ids of a text as a document: its beginning, which is not scored, then its tokens."""
    return [*first_ids(tokenizer, "")[:1], *tokenizer.encode(text)]


def places(first: Sequence[int], second: Sequence[int], scored: Scored) -> tuple[list[int], list[int]]:
    """Return the places of the ids of two documents that are compared; place 0 is the beginning and never one."""
    if scored is Scored.whole:
        return list(range(1, len(first))), list(range(1, len(second)))
    if scored is Scored.after:
        shared = 0
        while shared < min(len(first), len(second)) - 1 and first[-1 - shared] == second[-1 - shared]:
            shared += 1
        return list(range(len(first) - shared, len(first))), list(range(len(second) - shared, len(second)))
    blocks = SequenceMatcher(None, first[1:], second[1:], autojunk=False).get_matching_blocks()
    mine = [block.a + 1 + step for block in blocks for step in range(block.size)]
    return mine, [block.b + 1 + step for block in blocks for step in range(block.size)]


def token_log_probabilities(subject: Subject, rows: Sequence[Sequence[int]]) -> list[list[float]]:
    """Return the natural log-probability of each id of each row after its first, given all before it.

    `subject.rows` of like length are read side by side, equal ones once; one longer than the window in windows that
    overlap by half.
    """
    found: dict[tuple[int, ...], list[float]] = {}
    wanted, window = [tuple(row) for row in rows], subject.decoder.window
    for row in dict.fromkeys(wanted):
        if len(row) < 2:
            found[row] = []
        elif window is not None and len(row) > window:
            with subject.decoder.session():
                found[row] = score_ids(subject.decoder, row)
    short = sorted(set(wanted) - found.keys(), key=lambda row: (len(row), row))
    for start in range(0, len(short), subject.rows):
        batch = short[start : start + subject.rows]
        with subject.decoder.session():
            weighed = weigh(subject.decoder, batch, [len(row) - 1 for row in batch])
        found |= {row: one.log_probabilities.tolist() for row, one in zip(batch, weighed)}
    return [found[row] for row in wanted]


def differences(subject: Subject, pairs: Sequence[Pair], scored: Scored) -> list[float]:
    """Return for each pair log p(first) - log p(second), in nats, over the tokens that are `scored`."""
    rows = [[document_ids(subject.tokenizer, text) for text in (pair.first, pair.second)] for pair in pairs]
    flat = token_log_probabilities(subject, [row for both in rows for row in both])
    found = []
    for number, (first, second) in enumerate(rows):
        mine, other = places(first, second, scored)
        total = math.fsum(flat[2 * number][place - 1] for place in mine)
        found.append(total - math.fsum(flat[2 * number + 1][place - 1] for place in other))
    return found
