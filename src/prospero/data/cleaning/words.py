"""What a word is: its letters with their combining marks, and how to count words where none are set apart by spaces."""

import re
import sys
import unicodedata
from collections.abc import Iterable
from enum import IntEnum
from functools import cache

import numpy as np

_CJK = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_SOUTH_EAST_ASIAN = (
    "\u0e01-\u0e4e\u0e81-\u0ece\u1000-\u109f\u1780-\u17d3\u1950-\u19ff\u1a20-\u1aad\ua9e0-\ua9fe\uaa60-\uaa7f"
)
_BESIDE_THEM = "\u3000-\u303f\uff00-\uff65\u200b"
"""Punctuation and wide forms of those scripts, which belong to no word."""

CJK_LETTERS_PER_WORD = 2
"""Han characters and kana that are counted as one word: the mean length of a Chinese word is about 1.5 to 2."""
SOUTH_EAST_ASIAN_LETTERS_PER_WORD = 5
"""Letters and signs of Thai, Lao, Khmer, Burmese and their like that are counted as one word."""


def count_words(text: str) -> int:
    """Return the words between white space; scripts without spaces are counted by their letters."""
    if text.isascii():
        return len(text.split())
    kinds = _kinds()[_code_points(text)]
    south_east_asian = int(np.count_nonzero(kinds == _Kind.south_east_asian))
    cjk = int(np.count_nonzero(kinds == _Kind.cjk))
    counted = -(-cjk // CJK_LETTERS_PER_WORD) + -(-south_east_asian // SOUTH_EAST_ASIAN_LETTERS_PER_WORD)
    inside = kinds == _Kind.inside
    return counted + int(inside[0]) + int(np.count_nonzero(inside[1:] > inside[:-1]))


_UNSPACED = re.compile(f"[{_CJK}{_SOUTH_EAST_ASIAN}]")


def is_unspaced(text: str) -> bool:
    """Whether there are letters of a script that sets no spaces between words."""
    return not text.isascii() and _UNSPACED.search(text) is not None


def spaced_words(text: str) -> list[str]:
    """Return what stands between white space, but nothing with letters of scripts that set no spaces there."""
    words = text.split()
    return words if text.isascii() or not is_unspaced(text) else [word for word in words if not is_unspaced(word)]


def words_without_letters(words: Iterable[str]) -> int:
    """Return how many of the words have no letter of any script."""
    return sum(1 for word in words if not (word.isalpha() or _has_letter(word)))


def _has_letter(word: str) -> bool:
    # The comparison is a quick yes for scripts with upper and lower case.
    return word.lower() != word.upper() or any(map(str.isalpha, word))


class _Kind(IntEnum):
    """What a character is for the count of words."""

    inside = 0
    between = 1
    cjk = 2
    south_east_asian = 3


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


@cache
def _kinds() -> np.ndarray:
    """Return the _Kind of every code point: a look-up, where patterns of many ranges took most of the time."""
    kinds = np.zeros(sys.maxunicode + 1, np.uint8)
    kinds[[point for point in range(sys.maxunicode + 1) if chr(point).isspace()]] = _Kind.between
    for ranges, kind in ((_BESIDE_THEM, _Kind.between), (_CJK, _Kind.cjk), (_SOUTH_EAST_ASIAN, _Kind.south_east_asian)):
        for first, last in re.findall(r"(.)(?:-(.))?", ranges):
            kinds[ord(first) : ord(last or first) + 1] = kind
    return kinds


def has_combining_marks(text: str) -> bool:
    """Whether a text holds one of the characters of `combining_marks`."""
    return not text.isascii() and bool(_is_mark()[_code_points(text)].any())


@cache
def _is_mark() -> np.ndarray:
    found = np.zeros(sys.maxunicode + 1, bool)
    found[_marks()] = True
    return found


@cache
def _marks() -> list[int]:
    points = [*range(0x300, 0x20000), *range(0xE0100, 0xE01F0)]  # all that have marks in Unicode 16
    return [point for point in points if unicodedata.category(chr(point)) in ("Mn", "Mc")] + [0x200C, 0x200D]


@cache
def combining_marks() -> str:
    """Return the combining marks (categories Mn and Mc) and the joiners, written as inside a class of a pattern."""
    runs: list[list[int]] = []
    for point in sorted(_marks()):
        if runs and point == runs[-1][1] + 1:
            runs[-1][1] = point
        else:
            runs.append([point, point])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in runs)


_WORD = re.compile(r"\w+")
_WORD_OR_LETTER = re.compile(rf"[{_CJK}{_SOUTH_EAST_ASIAN}]|[^\W{_CJK}{_SOUTH_EAST_ASIAN}]+")


def word_pattern(text: str) -> re.Pattern[str]:
    """Return what finds the words of a text: letters, digits and underscores; unspaced letters are a word each."""
    return _WORD if text.isascii() else _WORD_OR_LETTER  # the same words for ASCII, at twice the speed
