"""White space: line ends, trailing blanks, blank lines, tabs. By default the indentation of code is untouched."""

import re
from dataclasses import dataclass
from enum import Enum

from prospero.errors import ConfigError

_NOT_TIDY = re.compile("[\r\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")
_OTHER_LINE_ENDS = re.compile("\r\n?|[\x85\u2028\u2029]")
_BLANKS = re.compile(r"[ \t]+")
_UNUSUAL_SPACES = dict.fromkeys([0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000], " ")


class Tabs(Enum):
    """What becomes of tab characters."""

    keep = "keep"
    expand = "expand"


@dataclass(kw_only=True, slots=True)
class WhiteSpaceConfig:
    """One kind of line end, no trailing blanks, few blank lines."""

    max_blank_lines: int | None = 2
    """Longer runs of blank lines are shortened to this many; null keeps them all."""
    collapse_blanks: bool = False
    """Make each run of spaces and tabs one space and take indentation away (this breaks code)."""
    unify_spaces: bool = False
    """Make non-breaking, thin, wide and other unusual spaces ordinary ones."""
    tabs: Tabs = Tabs.keep
    """Keep tabs, or expand them to spaces."""
    tab_size: int = 8
    """Width of a tab in characters, where tabs are expanded."""

    def __post_init__(self) -> None:
        if self.max_blank_lines is not None and self.max_blank_lines < 0:
            raise ConfigError(f"max_blank_lines={self.max_blank_lines}; choose 0, 1, 2, ... or null for no limit.")
        if self.tab_size < 1:
            raise ConfigError(f"tab_size={self.tab_size}; choose 1 or more.")

    def build(self) -> "WhiteSpace":
        """Return the step."""
        return WhiteSpace(self)


class WhiteSpace:
    """Tidy white space; each action first looks whether there is anything to do."""

    def __init__(self, config: WhiteSpaceConfig) -> None:
        self.max_blank_lines = config.max_blank_lines
        self.collapse_blanks = config.collapse_blanks
        self.unify_spaces = config.unify_spaces
        self.tab_size = config.tab_size if config.tabs is Tabs.expand else 0

    def __call__(self, text: str) -> str:
        """Return the text with tidy white space: no blank line at its ends, at most one line end there."""
        if "\r" in text or not (text.isascii() or _NOT_TIDY.search(text) is None):
            text = _OTHER_LINE_ENDS.sub("\n", text)
            if self.unify_spaces:
                text = text.translate(_UNUSUAL_SPACES)
        if self.tab_size and "\t" in text:
            text = text.expandtabs(self.tab_size)
        if self.collapse_blanks and ("  " in text or "\t" in text or "\n " in text or text.startswith(" ")):
            text = "\n".join([_collapsed(line) for line in text.split("\n")])
        elif " \n" in text or "\t\n" in text or text.endswith((" ", "\t")):
            text = "\n".join([line.rstrip(" \t") for line in text.split("\n")])
        if self.max_blank_lines is not None:
            text = _shorten_blank_runs(text, self.max_blank_lines)
        if text.startswith("\n"):
            text = text.lstrip("\n")
        if text.endswith("\n\n"):
            text = text.rstrip("\n") + "\n"
        return text


def _collapsed(line: str) -> str:
    line = line.strip(" \t")
    return _BLANKS.sub(" ", line) if "  " in line or "\t" in line else line


def _shorten_blank_runs(text: str, longest: int) -> str:
    too_long = "\n" * (longest + 2)
    while too_long in text:  # each pass takes a share off the longest run; far faster than a pattern
        text = text.replace(too_long, too_long[1:])
    return text
