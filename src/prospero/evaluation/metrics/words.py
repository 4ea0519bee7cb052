"""Text into the words that metrics count, by rules that are fixed and need no model."""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from enum import Enum

import regex

_ROUGE = re.compile(r"[a-z0-9]+")
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)
_NO_SPACES = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
"""Scripts that are written without spaces between words: each of their letters counts as a word."""
_WORD = rf"[{_NO_SPACES}]\p{{M}}*|(?:(?![{_NO_SPACES}])[\p{{L}}\p{{N}}]\p{{M}}*)+"
_WORDS = regex.compile(_WORD)
_WORDS_AND_SIGNS = regex.compile(rf"{_WORD}|[^\s\p{{L}}\p{{N}}]")


class Words(Enum):
    """What counts as a word."""

    ascii = "ascii"
    """Runs of a-z and 0-9 after lower-casing, as rouge-score has them; anything else is no word."""
    unicode = "unicode"
    """Runs of letters and digits of any script; where a script has no spaces (Chinese, Japanese, Thai), each letter."""


def ascii_words(text: str) -> list[str]:
    """Return the words of rouge-score's own tokenizer, without its stemmer."""
    return _ROUGE.findall(text.lower())


def unicode_words(text: str) -> list[str]:
    """Return runs of letters and digits, composed (NFC) and in lower case."""
    return _WORDS.findall(unicodedata.normalize("NFC", text).lower())


def words_and_signs(text: str) -> list[str]:
    """Return the words and every other visible character by itself, as they are written."""
    return _WORDS_AND_SIGNS.findall(text)


def splitter(words: Words) -> Callable[[str], list[str]]:
    """Return the function that cuts a text into these words."""
    return {Words.ascii: ascii_words, Words.unicode: unicode_words}[words]


def squad(text: str) -> str:
    """Return an answer as SQuAD compares it: lower case, no ASCII punctuation, no a/an/the, single spaces.

    The evaluation script of Rajpurkar et al. 2016 (arXiv:1606.05250). It makes one of `1.5` and `15`.
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_WITHOUT_PUNCTUATION)).split())


def ngrams(items: Sequence[Hashable], n: int) -> Counter[tuple[Hashable, ...]]:
    """Return how often each run of `n` items occurs."""
    return Counter(zip(*(items[start:] for start in range(n))))
