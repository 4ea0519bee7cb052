"""Repair of text that was decoded with the wrong encoding ("schÃ¶n"), by ftfy (Speer 2019) and nothing else of it."""

import re
from dataclasses import dataclass

_SURE = 3
"""Broken characters in a line of which others are right, from which the line is repaired."""
_CAPITAL_AND_PUNCTUATION = re.compile(
    "(?<=[A-Z\u00c0-\u00de])[\u00c2-\u00df][\u2018\u2019\u201c\u201d\u2013\u2014\u2026\xab\xbb\xae](?![A-Z\u00c0-\u00de])"
)
"""The end of a word in capitals (AMANHA with a tilde) before a quote, a dash or such; cp1252 has them at 80-BF."""


@dataclass(kw_only=True, slots=True)
class MojibakeConfig:
    """Repair text that was decoded with the wrong encoding: schÃ¶n becomes schön. Not for code."""

    def build(self) -> "Mojibake":
        """Return the step."""
        return Mojibake()


class Mojibake:
    """Repair those lines in which ftfy's test finds mojibake; quotes and ligatures stay as they are.

    A line that mixes right characters with fewer than three broken ones stays: right text is taken for broken more
    often than text breaks in a word alone. So does one that is right when capitals end words before punctuation.
    """

    def __init__(self) -> None:
        import ftfy
        import ftfy.badness
        import ftfy.chardata

        self._is_bad = ftfy.badness.is_bad
        self._fix = ftfy.fix_encoding_and_explain
        self._broken = ftfy.chardata.UTF8_DETECTOR_RE
        self._settings = ftfy.TextFixerConfig(
            unescape_html=False,
            remove_terminal_escapes=False,
            fix_latin_ligatures=False,
            fix_character_width=False,
            uncurl_quotes=False,
            fix_line_breaks=False,
            fix_surrogates=False,
            remove_control_chars=False,
            normalization=None,
            explain=True,
        )

    def __call__(self, text: str) -> str:
        """Return the repaired text."""
        if text.isascii():
            return text
        # Lines end at "\n" alone: other line separators can be half of a broken character.
        lines = text.split("\n")
        bad = [number for number, line in enumerate(lines) if not line.isascii() and self._is_bad(line)]
        if not bad:
            return text
        for number in bad:
            lines[number] = self._repaired(lines[number])
        return "\n".join(lines)

    def _repaired(self, line: str) -> str:
        text, steps = self._fix(line, self._settings)
        broken = len(self._broken.findall(line))
        in_parts = any(parameter == "decode_inconsistent_utf8" for _, parameter in steps or ())
        if in_parts and broken < _SURE:
            return line
        return line if 0 < broken <= len(_CAPITAL_AND_PUNCTUATION.findall(line)) else text
