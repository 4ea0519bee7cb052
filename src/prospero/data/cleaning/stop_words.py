"""Removal of stop words by the lists of stopwords-iso. It spoils text for language modelling: off unless asked for."""

import re
import unicodedata
from dataclasses import dataclass, field

from prospero.data.cleaning.words import combining_marks, has_combining_marks
from prospero.errors import ConfigError, suggest

_UNSPACED = frozenset({"zh", "ja", "th"})


@dataclass(kw_only=True, slots=True)
class StopWordsConfig:
    """Remove frequent words such as "the" and "of".

    The lists are broad: the English one has 1298 words, "hello" and "world" among them. `keep` takes words off.
    """

    languages: list[str] = field(default_factory=lambda: ["en"])
    """Two-letter codes of the lists to use, such as en, de, fr."""
    extra: list[str] = field(default_factory=list)
    """Further words to remove."""
    keep: list[str] = field(default_factory=list)
    """Words never to remove, though a list has them."""

    def build(self) -> "StopWords":
        """Return the step; raises `ConfigError` for a language without a list or without spaces between words."""
        import stopwordsiso

        words = set(self.extra)
        for language in self.languages:
            if not stopwordsiso.has_lang(language):
                known = sorted(stopwordsiso.langs())
                raise ConfigError(
                    f"cleaning.stop_words.languages: no stop words for '{language}'; "
                    f"known: {', '.join(known)}.{suggest(language, known)}"
                )
            if language in _UNSPACED:
                raise ConfigError(
                    f"cleaning.stop_words.languages: '{language}' writes no spaces between words, so words "
                    "cannot be taken out."
                )
            words |= stopwordsiso.stopwords(language)
        if not words:
            raise ConfigError(
                "cleaning.stop_words: languages and extra are both empty, so no word would be removed; name a language."
            )
        return StopWords({_plain(word) for word in words} - {_plain(word) for word in self.keep})


def _plain(word: str) -> str:
    return unicodedata.normalize("NFC", word.lower().replace("’", "'"))


def _runs_of_words(marks: str) -> re.Pattern[str]:
    """Return the pattern of white space, words one after another, white space.

    A word is letters with their combining marks, and what apostrophes and hyphens join: neither a mark nor the rest of
    a compound is left behind alone.
    """
    letters = rf"(?:[^\W\d_][{marks}]*)+" if marks else r"[^\W\d_]+"
    word = rf"{letters}(?:['’\-\u2010\u2011]{letters})*"
    inside = rf"[\w{marks}]|['’\-\u2010\u2011](?=\w)"
    return re.compile(
        rf"([ \t]*)(?<![\w{marks}])(?<![\w{marks}]['’\-\u2010\u2011])({word}(?:[ \t]+{word})*)(?!{inside})([ \t]*)"
    )


class StopWords:
    """Take words out so that neither double spaces nor spaces before a full stop are left."""

    def __init__(self, words: set[str]) -> None:
        self.words = frozenset(words)
        self._run = _runs_of_words(combining_marks())
        self._run_without_marks = _runs_of_words("")  # three times as fast

    def __call__(self, text: str) -> str:
        """Return the text without the words, whatever their case."""
        return (self._run if has_combining_marks(text) else self._run_without_marks).sub(self._without, text)

    def _without(self, match: re.Match[str]) -> str:
        before, run, after = match.groups()
        words = run.split()
        kept = [word for word in words if _plain(word) not in self.words]
        if len(kept) == len(words):
            return match.group()
        if kept:
            return f"{before}{' '.join(kept)}{after}"
        return before and after and " "
