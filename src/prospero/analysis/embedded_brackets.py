"""Pairs of prompts that differ in one bracket, made of the standard library: `f(x` wants `)`, and `f[x` wants `]`."""

import io
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prospero.data.document import Document

CLOSING = {"(": ")", "[": "]"}
OTHER = {"(": "[", "[": "(", ")": "]", "]": ")"}
LINE_CHARACTERS = range(8, 61)
"""Of a prompt, without the spaces before it."""
INNER_TOKENS = range(2, 9)
"""Between the brackets: one at least stands between the changed token and the last."""


def bracket_pairs(documents: Sequence[Document]) -> list[Mapping[str, Any]]:
    """Return {clean, corrupted, answer, wrong}: a line up to its closing bracket, and the same opened otherwise."""
    return [row for document in documents for row in _of_file(document)]


def _of_file(document: Document) -> Iterator[Mapping[str, Any]]:
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(document.text).readline))
    except (tokenize.TokenError, SyntaxError):
        return
    lines, opened = document.text.splitlines(), list[int]()
    for place, token in enumerate(tokens):
        if token.type != tokenize.OP:
            continue
        if token.string in "([{":
            opened.append(place)
        elif token.string in ")]}" and opened:
            start = opened.pop()
            row = _pair(lines, tokens[start], token, place - start - 1)
            if row is not None:
                yield row


def _pair(
    lines: Sequence[str], opening: tokenize.TokenInfo, closing: tokenize.TokenInfo, inner: int
) -> Mapping[str, Any] | None:
    """Return the pair of two brackets; None where they do not stand in one line of the right length."""
    (line, start), (last, end) = opening.start, closing.start
    if line != last or CLOSING.get(opening.string) != closing.string or inner not in INNER_TOKENS:
        return None
    text = lines[line - 1]
    clean = text[:end].lstrip()
    if len(clean) not in LINE_CHARACTERS:
        return None
    place = start - (end - len(clean))
    corrupted = clean[:place] + OTHER[opening.string] + clean[place + 1 :]
    return {"clean": clean, "corrupted": corrupted, "answer": closing.string, "wrong": OTHER[closing.string]}
