"""The rules of C4 (Raffel et al. 2020, JMLR 21-140, section 2.2): lines that are no sentences go, scraps of pages too.

The bounds are those of the paper and of the code that made the data set (tensorflow_datasets, c4_utils.py), which also
takes away marks of citation and lines about cookies. Sentences are counted by their marks. The paper's list of bad
words is not shipped, and its removal of repeated spans of three sentences is left to dedup=.
"""

import re
from dataclasses import dataclass, field

from prospero.data.cleaning.sentences import count_sentences, ends_sentence
from prospero.data.cleaning.step import Drop
from prospero.data.cleaning.words import count_words
from prospero.errors import ConfigError

_CITATIONS = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")
_POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")


@dataclass(kw_only=True, slots=True)
class C4Config:
    """Keep lines that are sentences, and pages with some; drop pages with curly brackets. Not for code."""

    unfinished_lines: bool = False
    """Keep lines that do not end with a full stop, a question or exclamation mark or a closing quotation mark (those of
    other scripts count), and those that end with an ellipsis."""
    min_words_per_line: int = 5
    """Remove lines of fewer words; 0 keeps all."""
    min_sentences: int = 3
    """Drop documents of which fewer sentences are left; 0 keeps all."""
    max_word_length: int | None = 1000
    """Remove lines with a longer word, in characters; null keeps all."""
    citations: bool = False
    """Keep marks of citation such as [3], [edit] and [citation needed]."""
    javascript: bool = False
    """Keep lines that say JavaScript, which are mostly warnings."""
    policies: bool = False
    """Keep lines about cookies, privacy policies and terms of use."""
    lorem_ipsum: bool = False
    """Keep documents with the filler text "lorem ipsum"."""
    curly_brackets: bool = False
    """Keep documents with a curly bracket, which mostly hold code."""
    bad_words: list[str] = field(default_factory=list)
    """Drop documents with one of these words, whatever its case; none by default."""

    def __post_init__(self) -> None:
        for name, value in (("min_words_per_line", self.min_words_per_line), ("min_sentences", self.min_sentences)):
            if value < 0:
                raise ConfigError(f"{name}={value}; choose 0, 1, 2, ...")
        if self.max_word_length is not None and self.max_word_length < 1:
            raise ConfigError(f"max_word_length={self.max_word_length}; choose 1 or more, or null for no limit.")

    def build(self) -> "C4":
        """Return the step."""
        return C4(self)


class C4:
    """Look at a text line by line."""

    def __init__(self, config: C4Config) -> None:
        self.config = config
        words = "|".join(re.escape(word.lower()) for word in config.bad_words)
        self._bad_words = re.compile(rf"(?:\W|^)(?:{words})(?:\W|$)") if words else None

    def __call__(self, text: str) -> str | Drop:
        """Return the text of the lines that are kept, or the reason to drop all."""
        lower = text.lower()
        if not self.config.lorem_ipsum and "lorem ipsum" in lower:
            return Drop("lorem ipsum")
        if not self.config.curly_brackets and "{" in text:
            return Drop("a curly bracket")
        if self._bad_words is not None and self._bad_words.search(lower):
            return Drop("a bad word")
        lines, sentences = [], 0
        for line in text.split("\n"):
            kept = self._line(line.strip())
            if kept:
                lines.append(kept)
                sentences += count_sentences(kept) if sentences < self.config.min_sentences else 0
        if sentences < self.config.min_sentences:
            return Drop("too few sentences")
        kept = "\n".join(lines)
        return text if kept == text else kept

    def _line(self, line: str) -> str:
        """Return a line that is kept, without citations; else nothing."""
        config = self.config
        longest = config.max_word_length
        if longest is not None and len(line) > longest and any(len(word) > longest for word in line.split()):
            return ""
        if not config.citations and "[" in line:
            line = _CITATIONS.sub("", line)
        if not config.unfinished_lines and not ends_sentence(line):
            return ""
        if config.min_words_per_line and count_words(line) < config.min_words_per_line:
            return ""
        if config.javascript and config.policies:
            return line
        lower = line.lower()
        if not config.javascript and "javascript" in lower:
            return ""
        return "" if not config.policies and any(phrase in lower for phrase in _POLICY) else line
