"""Properties of the tokens of a text that a probe can look for, computed from the text itself.

A token's property is that of its last character; where nothing can be said of that, the token has none (`NONE`) and is
left out. Python's own tokenizer reads a program as far as it goes: what follows its first error has no property, and a
text of which it reads less than half counts as no program.
"""

import io
import token as token_kinds
import tokenize
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from keyword import iskeyword, issoftkeyword

import numpy as np

NONE = -1
"""The class of a character of which nothing is known."""
KINDS = ("space", "keyword", "name", "number", "string", "comment", "operator", "line end")
"""The kinds of Python's tokenize, names and keywords told apart; space is what stands between them."""
DEEPEST = 3
"""Brackets that are open, at most; more count as so many."""
_OPEN, _CLOSE = frozenset("([{"), frozenset(")]}")
_OF_STRINGS = frozenset({token_kinds.STRING}) | {
    kind for kind, name in token_kinds.tok_name.items() if name.startswith(("FSTRING", "TSTRING"))
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TextProperty:
    """A question about each character of a text, with its possible answers."""

    name: str
    classes: Sequence[str]
    of_characters: Callable[[str], np.ndarray]
    """Text -> int64 class of each character, `NONE` where it has none."""
    balanced: bool = False
    """Whether of its two classes one is so rare that a document's tokens are thinned out to as many of each."""


def next_is_line_end(text: str) -> np.ndarray:
    """Return 1 where the next character ends a line, 0 where another follows; the last character has none."""
    found = np.full(len(text), NONE, dtype=np.int64)
    found[: max(0, len(text) - 1)] = [character == "\n" for character in text[1:]]
    return found


def token_kind(text: str) -> np.ndarray:
    """Return the kind (of `KINDS`) of the Python token that each character belongs to."""
    return _read_python(text)[0]


def in_string_or_comment(text: str) -> np.ndarray:
    """Return 1 for characters of a Python string or comment, 0 for others."""
    kinds = token_kind(text)
    inside = np.isin(kinds, [KINDS.index("string"), KINDS.index("comment")]).astype(np.int64)
    return np.where(kinds == NONE, NONE, inside)


def bracket_depth(text: str) -> np.ndarray:
    """Return how many brackets of a Python program are open after each character, `DEEPEST` at most."""
    return _read_python(text)[1]


PROPERTIES = {
    one.name: one
    for one in (
        TextProperty(
            name="next_is_line_end",
            classes=("other", "line end"),
            of_characters=next_is_line_end,
            balanced=True,
        ),
        TextProperty(name="in_string_or_comment", classes=("code", "inside"), of_characters=in_string_or_comment),
        TextProperty(name="token_kind", classes=KINDS, of_characters=token_kind),
        TextProperty(name="bracket_depth", classes=("0", "1", "2", "3 or more"), of_characters=bracket_depth),
    )
}


def _read_python(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the kind of each character and how many brackets are open after it."""
    kinds, depths = np.full(len(text), NONE, np.int64), np.full(len(text), NONE, np.int64)
    lines = list(io.StringIO(text, newline=""))  # as tokenize counts them: other separators end no line
    line_starts, left = np.cumsum([0, *map(len, lines)]), iter(lines)
    depth, reached, before = 0, 0, ""
    try:
        for one in tokenize.generate_tokens(lambda: next(left, "")):
            if one.type in (token_kinds.INDENT, token_kinds.DEDENT, token_kinds.ENDMARKER):
                continue
            start = int(line_starts[one.start[0] - 1]) + one.start[1]
            end = min(int(line_starts[one.end[0] - 1]) + one.end[1], len(text))
            kind = _kind(one)
            if one.type == token_kinds.ERRORTOKEN or _cannot_follow(before, kind):
                break
            kinds[reached:start], depths[reached:start] = KINDS.index("space"), depth
            depth = max(0, depth + _opens(one))
            kinds[start:end], depths[start:end] = KINDS.index(kind), depth
            reached, before = max(reached, end), "" if kind == "name" and issoftkeyword(one.string) else kind
    except (tokenize.TokenError, SyntaxError):
        pass  # a piece of a program, or another text: what follows the error is unknown
    if reached < len(text) / 2:  # prose, of which the first words would pass for names
        kinds[:], depths[:] = NONE, NONE
    return kinds, np.where(depths == NONE, NONE, np.clip(depths, 0, DEEPEST))


def _cannot_follow(before: str, kind: str) -> bool:
    """Whether no program has these kinds side by side: two names, say, as prose has them everywhere."""
    return (
        before in ("name", "number", "string")
        and kind in ("name", "number", "string")
        and before + kind != "stringstring"
    )


def _opens(one: tokenize.TokenInfo) -> int:
    """Return 1 for an opening bracket, -1 for a closing one, else 0."""
    return (one.string in _OPEN) - (one.string in _CLOSE) if one.type == token_kinds.OP else 0


def _kind(one: tokenize.TokenInfo) -> str:
    if one.type == token_kinds.COMMENT:
        return "comment"
    if one.type in (token_kinds.NEWLINE, token_kinds.NL):
        return "line end"
    if one.type in _OF_STRINGS:
        return "string"
    if one.type == token_kinds.NUMBER:
        return "number"
    if one.type == token_kinds.NAME:
        return "keyword" if iskeyword(one.string) else "name"
    return "operator"
