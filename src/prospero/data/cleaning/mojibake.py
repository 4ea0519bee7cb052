"""Repair of text that was decoded with the wrong encoding ("schÃ¶n"), by ftfy (Speer 2019) and nothing else of it."""

from dataclasses import dataclass


@dataclass(kw_only=True, slots=True)
class MojibakeConfig:
    """Repair text that was decoded with the wrong encoding: schÃ¶n becomes schön. Not for code."""

    def build(self) -> "Mojibake":
        """Return the step."""
        return Mojibake()


class Mojibake:
    """Repair those lines in which ftfy's test finds mojibake; quotes and ligatures stay as they are."""

    def __init__(self) -> None:
        import ftfy
        import ftfy.badness

        self._is_bad = ftfy.badness.is_bad
        self._fix = ftfy.fix_encoding
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
            explain=False,
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
            lines[number] = self._fix(lines[number], self._settings)
        return "\n".join(lines)
