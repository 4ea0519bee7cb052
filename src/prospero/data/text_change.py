"""The difference of two texts, line by line, in a few lines that show what cannot be seen: blanks, forms, controls."""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from enum import Enum

from prospero.printable import printable_lines

MOST_LINES = 400
"""Lines on each side that are compared, from the first that differs: comparing takes quadratic time at worst."""
WIDTH = 140
"""Characters of a line that are shown, round its first difference."""
EMPTY_LINE = "⏎"
"""How a line of nothing is shown that came or went."""
_RED, _GREEN, _DIM, _NORMAL = "\x1b[31m", "\x1b[32m", "\x1b[2m", "\x1b[0m"
_REVERSE, _NOT_REVERSE = "\x1b[7m", "\x1b[27m"


class LineKind(Enum):
    """What became of a line."""

    kept = " "
    removed = "-"
    added = "+"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a difference; what differs in it stands at [start, end)."""

    kind: LineKind
    text: str
    start: int = 0
    end: int = 0
    spelt: bool = False
    """Whether the part that differs must be spelt out, for both sides look the same."""


@dataclass(frozen=True, slots=True)
class TextChange:
    """What a step made of one text."""

    document_id: str
    characters_before: int
    characters_after: int
    lines: list[Line]
    """The lines that differ, each group after the line before it; of long texts the first."""
    differing: int
    """Lines that were removed or added; of texts beyond MOST_LINES lines that stand on one side more often."""


def text_change(document_id: str, before: str, after: str) -> TextChange:
    """Return the difference of two texts."""
    old, new = before.split("\n"), after.split("\n")
    first = _common(old, new)
    last = _common(old[first:][::-1], new[first:][::-1])
    old_part, new_part = old[first : len(old) - last], new[first : len(new) - last]
    lines = [Line(LineKind.kept, old[first - 1])] if first else []
    if max(len(old_part), len(new_part)) <= MOST_LINES:
        lines += _differing(old_part, new_part)
        differing = sum(line.kind is not LineKind.kept for line in lines)
    else:
        lines += _differing(old_part[:MOST_LINES], new_part[:MOST_LINES], cut=True)
        counts = Counter(old_part), Counter(new_part)
        differing = max(len(lines), ((counts[0] - counts[1]) + (counts[1] - counts[0])).total())
    return TextChange(document_id, len(before), len(after), lines, differing)


def _common(old: Sequence[str], new: Sequence[str]) -> int:
    """Return how many first items of two sequences are equal."""
    most = min(len(old), len(new))
    return next((place for place in range(most) if old[place] != new[place]), most)


def _differing(old: list[str], new: list[str], *, cut: bool = False) -> Iterator[Line]:
    """Yield what differs; of sides that were `cut` not the last group, for what it lacks may stand further on."""
    steps = SequenceMatcher(None, old, new).get_opcodes()
    for what, a, a_end, b, b_end in steps[:-1] if cut and len(steps) > 1 else steps:
        if what == "equal":
            yield Line(LineKind.kept, old[a_end - 1])  # the line before the next difference
        elif a_end - a == b_end - b:
            for one, other in zip(old[a:a_end], new[b:b_end]):
                yield from _pair(one, other)
        else:
            yield from (Line(LineKind.removed, text) for text in old[a:a_end])
            yield from (Line(LineKind.added, text) for text in new[b:b_end])


def _pair(old: str, new: str) -> tuple[Line, Line]:
    """Return a line and what it became, with the place of what differs."""
    start = _common(old, new)
    end = _common(old[start:][::-1], new[start:][::-1])
    removed, added = (start, len(old) - end), (start, len(new) - end)
    spelt = unicodedata.normalize("NFKC", old[slice(*removed)]) == unicodedata.normalize("NFKC", new[slice(*added)])
    return Line(LineKind.removed, old, *removed, spelt), Line(LineKind.added, new, *added, spelt)


def change_lines(change: TextChange, *, colour: bool, most: int) -> Iterator[str]:
    """Yield a change for the terminal: its head, and up to `most` lines that differ."""
    sizes = f"{change.characters_before:,} -> {change.characters_after:,} characters"
    yield f"  {printable_lines(change.document_id)}: {sizes}"
    shown = 0
    for line in change.lines:
        if shown == most:
            break
        shown += line.kind is not LineKind.kept
        yield f"    {_drawn(line, colour)}"
    if (hidden := change.differing - shown) > 0:
        yield f"    ... {hidden:,} more lines differ"


def _drawn(line: Line, colour: bool) -> str:
    if not line.text and line.kind is not LineKind.kept:
        line = replace(line, text=EMPTY_LINE)
    left = max(0, min(line.start - WIDTH // 4, len(line.text) - WIDTH))
    right = left + WIDTH
    start, end = min(line.start, right), min(line.end, right)
    before, after = printable_lines(line.text[left:start]), printable_lines(line.text[end:right])
    differs = _visible(line.text[start:end], line.spelt)
    before, after = ("…" if left else "") + before, after + ("…" if right < len(line.text) else "")
    if line.kind is not LineKind.kept:
        kept = after.rstrip(" \t")
        after = kept + _visible(after[len(kept) :], False)
    if not colour:
        return f"{line.kind.value} {before}{differs}{after}"
    tone = {LineKind.kept: _DIM, LineKind.removed: _RED, LineKind.added: _GREEN}[line.kind]
    marked = f"{_REVERSE}{differs}{_NOT_REVERSE}" if differs else ""
    return f"{tone}{line.kind.value} {before}{marked}{after}{_NORMAL}"


def _visible(text: str, spelt: bool) -> str:
    """Return what differs so that it can be seen: blanks alone as signs, letters that look alike by their numbers."""
    if text and not text.strip(" \t"):
        return text.replace(" ", "·").replace("\t", "→")
    if spelt:
        return "".join(
            sign if sign.isascii() else sign.encode("unicode_escape").decode() for sign in printable_lines(text)
        )
    return "".join(map(_shown, printable_lines(text)))


def _shown(sign: str) -> str:
    unseen = not sign.isascii() and unicodedata.category(sign) in ("Cf", "Zs")
    return sign.encode("unicode_escape").decode() if unseen else sign
