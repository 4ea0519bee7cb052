"""What a word is: its letters with their combining marks, and how to count words where none are set apart by spaces."""

import re
import unicodedata
from functools import cache

_CJK = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_SOUTH_EAST_ASIAN = (
    "\u0e01-\u0e4e\u0e81-\u0ece\u1000-\u109f\u1780-\u17d3\u1950-\u19ff\u1a20-\u1aad\ua9e0-\ua9fe\uaa60-\uaa7f"
)
_CJK_LETTER = re.compile(f"[{_CJK}]")
_SOUTH_EAST_ASIAN_LETTER = re.compile(f"[{_SOUTH_EAST_ASIAN}]")
_UNSPACED = re.compile(f"[{_CJK}{_SOUTH_EAST_ASIAN}\u3000-\u303f\uff00-\uff65\u200b]+")

CJK_LETTERS_PER_WORD = 2
"""Han characters and kana that are counted as one word: the mean length of a Chinese word is about 1.5 to 2."""
SOUTH_EAST_ASIAN_LETTERS_PER_WORD = 5
"""Letters and signs of Thai, Lao, Khmer, Burmese and their like that are counted as one word."""


def count_words(text: str) -> int:
    """Return the words between white space; scripts without spaces are counted by their letters."""
    if text.isascii() or not (unspaced := _UNSPACED.findall(text)):
        return len(text.split())
    runs = "".join(unspaced)
    cjk, south_east_asian = len(_CJK_LETTER.findall(runs)), len(_SOUTH_EAST_ASIAN_LETTER.findall(runs))
    counted = -(-cjk // CJK_LETTERS_PER_WORD) + -(-south_east_asian // SOUTH_EAST_ASIAN_LETTERS_PER_WORD)
    return counted + len(_UNSPACED.sub(" ", text).split())


@cache
def combining_marks() -> str:
    """Return the combining marks (categories Mn and Mc) and the joiners, written as inside a class of a pattern."""
    points = [*range(0x300, 0x20000), *range(0xE0100, 0xE01F0)]  # all that have marks in Unicode 16
    marks = [point for point in points if unicodedata.category(chr(point)) in ("Mn", "Mc")] + [0x200C, 0x200D]
    runs: list[list[int]] = []
    for point in sorted(marks):
        if runs and point == runs[-1][1] + 1:
            runs[-1][1] = point
        else:
            runs.append([point, point])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in runs)
