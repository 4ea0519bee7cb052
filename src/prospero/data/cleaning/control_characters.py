"""Removal of characters that steer terminals and layout rather than say anything; those that separate words stay."""

import re
from dataclasses import dataclass

_C0 = bytes(b for b in range(32) if b not in b"\t\n\r") + b"\x7f"
_C1_IN_UTF8 = re.compile(rb"\xc2[\x80-\x84\x86-\x9f]")  # U+0085 is a line end, which the white-space step handles
_TERMINAL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,4096}(?:\x07|\x1b\\)|[@-Z\\^_])")
_CONTROLS = dict.fromkeys([*_C0, *(c for c in range(0x80, 0xA0) if c != 0x85)])
_OVERSTRUCK = re.compile("[^\n\b]\b")
_LINE_SEPARATORS = re.compile("([\r\n])?[\v\f\x1c-\x1e]+([\r\n])?")
_ANY_INVISIBLE = re.compile("[\xad\u200b\u2060\ufeff\u202a-\u202e\u2066-\u2069]")
_INVISIBLE = dict.fromkeys([0xAD, 0x200B, 0x2060, 0xFEFF, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])


@dataclass(kw_only=True, slots=True)
class ControlCharactersConfig:
    """Remove control characters and terminal colours; tabs and line ends stay, and separators become them."""

    invisible: bool = False
    """Remove invisible characters too: zero-width space, soft hyphen, word joiner, marks of writing direction."""

    def build(self) -> "ControlCharacters":
        """Return the step."""
        return ControlCharacters(invisible=self.invisible)


class ControlCharacters:
    """Remove C0 and C1 controls but tab and line ends, and whole terminal sequences (ECMA-48).

    Vertical tabs, form feeds and the file, group and record separators become a line end where there is none, the unit
    separator a space. A backspace takes the character before it along, as pages for printers want it.
    """

    def __init__(self, *, invisible: bool) -> None:
        self.invisible = invisible

    def __call__(self, text: str) -> str:
        """Return the text without control characters; joiners (U+200C, U+200D) stay, which words and emoji need."""
        data = text.encode()
        found = len(data.translate(None, _C0)) != len(data) or (not text.isascii() and _C1_IN_UTF8.search(data))
        if found:
            if "\x1b" in text:
                text = _TERMINAL.sub("", text)
            text = _without_overstrikes(text)
            text = _LINE_SEPARATORS.sub(lambda run: (run[1] or "") + (run[2] or "") or "\n", text)
            text = text.replace("\x1f", " ").translate(_CONTROLS)
        if self.invisible and not text.isascii() and _ANY_INVISIBLE.search(text):
            text = text.translate(_INVISIBLE)
        return text


def _without_overstrikes(text: str) -> str:
    """Let each backspace take away the character before it, within its line (bold is an N, a backspace, an N)."""
    while "\b" in text:
        shorter = _OVERSTRUCK.sub("", text)
        if shorter == text:
            break
        text = shorter
    return text
