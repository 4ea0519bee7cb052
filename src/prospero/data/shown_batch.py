"""A batch for the eye: which tokens carry loss, where documents begin, what is padding.

Tokens are shown as they are predicted: after a document's first input, which nobody predicts, each position shows the
token that follows it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import groupby

import numpy as np

from prospero.batch import IGNORE_INDEX
from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.printable import printable_lines

GREEN, BOLD, USUAL, DIM, NORMAL = "\x1b[32m", "\x1b[1m", "\x1b[22m", "\x1b[2m", "\x1b[0m"
OPENS, CLOSES = "⟦", "⟧"


class Kind(Enum):
    """What a token of a row is."""

    read = "read"
    learnt = "learnt"


@dataclass(frozen=True, slots=True)
class Row:
    """One sequence: the tokens of each document with their kinds, and how many are padding."""

    documents: list[list[tuple[int, Kind]]]
    positions: int
    targets: int
    padding: int


def rows(arrays: Mapping[str, np.ndarray], separator: int) -> list[Row]:
    """Return the sequences of what a packing reads: input_ids and labels [B, T], document_ids [B, T]."""
    parts = zip(arrays["input_ids"].tolist(), arrays["labels"].tolist(), arrays["document_ids"].tolist())
    return [_row(*part, separator) for part in parts]


def _row(inputs: Sequence[int], labels: Sequence[int], ids: Sequence[int], separator: int) -> Row:
    documents, padding = [], 0
    places = [list(group) for _, group in groupby(range(len(ids)), key=lambda place: ids[place])]
    for number, part in enumerate(places):
        is_padding = all(inputs[place] == separator and labels[place] == IGNORE_INDEX for place in part)
        if is_padding and number == len(places) - 1:
            padding = len(part)
            continue
        tokens = [(inputs[part[0]], Kind.read)]
        for place in part:
            if labels[place] != IGNORE_INDEX:
                tokens.append((labels[place], Kind.learnt))
            elif place < part[-1]:
                tokens.append((inputs[place + 1], Kind.read))
        documents.append(tokens)
    return Row(documents, len(ids), sum(label != IGNORE_INDEX for label in labels), padding)


def lines(found: Sequence[Row], tokenizer: Tokenizer, *, colour: bool, shown: int) -> Iterator[str]:
    """Yield what is printed: a legend, the first `shown` sequences, and the counts of all."""
    learnt = f"{GREEN}green{NORMAL}" if colour else f"{OPENS}between these{CLOSES}"
    yield f"tokens that carry loss are {learnt}, control tokens {_control('<name>', colour)}"
    for number, row in enumerate(found[:shown], 1):
        counts = f"{row.targets} targets, {len(row.documents)} documents, {row.padding} padding"
        yield f"\n-- sequence {number} of {len(found)}: {counts}"
        for place, document in enumerate(row.documents, 1):
            yield f"{DIM if colour else ''}-- document {place}: {len(document) - 1} tokens{NORMAL if colour else ''}"
            yield _text(document, tokenizer, colour)
    if len(found) > shown:
        yield f"\n... and {len(found) - shown} more sequences (shown_sequences={len(found)} shows them)"
    yield f"\n{summary(found)}"


def summary(found: Sequence[Row]) -> str:
    """Return the counts of a batch in one line."""
    targets, padding = sum(row.targets for row in found), sum(row.padding for row in found)
    documents = sum(len(row.documents) for row in found)
    positions = sum(row.positions for row in found)
    return (
        f"batch: {len(found)} sequences, {targets:,} targets ({targets / max(1, positions):.1%} of {positions:,} "
        f"positions), {documents:,} documents, {padding:,} padding"
    )


def _text(document: Sequence[tuple[int, Kind]], tokenizer: Tokenizer, colour: bool) -> str:
    names = {tokenizer.control_id(name): name for name in tokenizer.control_names}
    found = ""
    for kind, run in groupby(document, key=lambda token: token[1]):
        text = ""
        for control, part in groupby((id_ for id_, _ in run), key=lambda id_: names.get(id_)):
            ids = list(part)
            text += printable_lines(tokenizer.decode(ids)) if control is None else _control(control, colour) * len(ids)
        opens, closes = (GREEN, NORMAL) if colour else (OPENS, CLOSES)
        found += f"{opens}{text}{closes}" if kind is Kind.learnt else text
    return found


def _control(name: str, colour: bool) -> str:
    return f"{BOLD}{name}{USUAL}" if colour else f"«{name}»"
