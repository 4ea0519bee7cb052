"""Minimal pairs of Python: a line as it stands, and the same with one token changed (after Warstadt et al. 2020).

Each pair tests one thing: that brackets close as they opened, which keyword, comparison or sign belongs here, and which
of the names in the file.
"""

import io
import keyword
import tokenize
from collections.abc import Mapping, Sequence
from typing import Any

from prospero.data.document import Document
from prospero.data.embedded.functions import parsed
from prospero.evaluation.tasks.embedded.pinned import place_of

_CONTEXT_LINES = 8
_LINE_CHARACTERS = range(12, 101)
_SWAPS = {
    "bracket": {")": "]", "]": ")", "}": ")"},
    "keyword": {
        "in": "is", "is": "in", "and": "not", "or": "else", "if": "for", "for": "if", "return": "def", "def": "return",
        "else": "and", "not": "or", "import": "return", "from": "with", "while": "with", "with": "from",
        "elif": "except", "except": "elif", "raise": "import", "None": "return", "True": "in", "False": "in",
    },
    "operator": {"==": "=", "=": "==", ":": ",", ".": ":", "+": ".", "!=": "="},
}  # fmt: skip
"""Kind of the pair -> the token that is right -> the one in its place."""


def token_pairs(documents: Sequence[Document]) -> list[Mapping[str, Any]]:
    """Return {context, choices, answer, kind, file}: the lines before, and one line right and changed."""
    return [row for document in documents for row in _of_file(document)]


def _of_file(document: Document) -> list[Mapping[str, Any]]:
    if parsed(document) is None:
        return []
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(document.text).readline))
    except (tokenize.TokenError, SyntaxError):
        return []
    lines = document.text.splitlines()
    names = [token.string for token in tokens if token.type == tokenize.NAME and not keyword.iskeyword(token.string)]
    by_line: dict[int, list[tokenize.TokenInfo]] = {}
    for token in tokens:
        if token.start[0] == token.end[0] and token.type in (tokenize.NAME, tokenize.OP):
            by_line.setdefault(token.start[0], []).append(token)
    found = []
    for number in range(_CONTEXT_LINES + 1, len(lines) + 1, _CONTEXT_LINES):  # so that contexts do not overlap
        line = lines[number - 1] if number in by_line else ""
        if len(line.strip()) not in _LINE_CHARACTERS:
            continue
        swaps = [swap for token in by_line[number] for swap in _swaps(token, names)]
        if not swaps:
            continue
        kinds = sorted({kind for kind, _, _ in swaps})
        kind = kinds[place_of(document.id, number) % len(kinds)]  # as many of each as may be
        _, token, other = min((swap for swap in swaps if swap[0] == kind), key=lambda s: place_of(s[1].string, s[2]))
        wrong = line[: token.start[1]] + other + line[token.end[1] :]
        context = "\n".join(lines[number - 1 - _CONTEXT_LINES : number - 1]) + "\n"
        choices = [line + "\n", wrong + "\n"]
        answer = place_of(line, number) % 2
        found.append(
            {
                "context": context,
                "choices": choices if answer == 0 else choices[::-1],
                "answer": answer,
                "kind": kind,
                "file": document.id,
            }
        )
    return found


def _swaps(token: tokenize.TokenInfo, names: Sequence[str]) -> list[tuple[str, tokenize.TokenInfo, str]]:
    """Return (kind, token, what may stand in its place) of a token."""
    found = [(kind, token, table[token.string]) for kind, table in _SWAPS.items() if token.string in table]
    if token.type == tokenize.NAME and not keyword.iskeyword(token.string):
        others = [name for name in names if name != token.string]
        if others:
            found.append(("name", token, others[place_of(token.string, token.start) % len(others)]))
    return found
