"""A command line up to the cursor, taken apart as a shell does, and texts put in its quotes.

Nothing in it is expanded or run: `$(...)` and `$name` stay the text that they are.
"""

from dataclasses import dataclass, field

_BASH_SPECIAL = frozenset(" \t\\'\"$`&|;<>()*?[]{}!#~")
_ENDS = frozenset(";|&\n")
"""What ends a command and begins another."""


@dataclass(slots=True)
class Line:
    """The words before the cursor and the one that is being typed."""

    words: list[str] = field(default_factory=list)
    """Whole words, without their quotes."""
    word: str = ""
    """What there is of the word at the cursor, without its quotes."""
    quote: str = ""
    """The quote that is still open in it."""
    after_quote: int = 0
    """Characters of `word` before that quote."""
    after_break: int = 0
    """Characters of `word` up to and with its last character of `breaks` that stood in no quotes."""
    redirected: bool = False
    """Whether the word is the file of a redirection."""


def cut(text: str, *, breaks: str = "", fish: bool = False) -> Line:
    """Return the last command of a line that ends at the cursor; in `fish`, backslashes count in single quotes too."""
    line, place, begun = Line(), 0, False
    while place < len(text):
        sign, place = text[place], place + 1
        if line.quote:
            place, begun = _in_quotes(line, text, sign, place, fish=fish), True
        elif sign in " \t":
            _end_word(line, begun)
            begun = False
        elif sign in _ENDS:
            line, begun = Line(), False
        elif sign in "<>":
            _end_word(line, begun)
            line.redirected, begun = True, False
        elif sign in "'\"":
            line.quote, line.after_quote, begun = sign, len(line.word), True
        else:
            if sign == "\\":
                sign, place = text[place : place + 1], place + 1
                line.word += sign
            else:
                line.word += sign
                line.after_break = len(line.word) if sign in breaks else line.after_break
            begun = True
    return line


def _in_quotes(line: Line, text: str, sign: str, place: int, *, fish: bool) -> int:
    """Take the next sign inside quotes; return the place after it."""
    escaped = {"'": "'\\" if fish else "", '"': '"\\$`'}[line.quote]
    if sign == line.quote:
        line.quote, line.after_quote = "", 0
    elif sign == "\\" and text[place : place + 1] and text[place] in escaped:
        line.word += text[place]
        return place + 1
    else:
        line.word += sign
    return place


def _end_word(line: Line, begun: bool) -> None:
    if begun and not line.redirected:
        line.words.append(line.word)
    if begun:
        line.redirected = False
    line.word, line.quote, line.after_quote, line.after_break = "", "", 0, 0


def in_bash(line: Line, text: str) -> str:
    """Return what takes the place of what bash completes, so that the word becomes `text`.

    bash completes what follows an open quote, else what follows the last of its word breaks.
    """
    if line.quote == "'":
        return text[line.after_quote :].replace("'", "'\\''")
    if line.quote:
        return "".join(f"\\{sign}" if sign in '\\"$`' else sign for sign in text[line.after_quote :])
    return "".join(f"\\{sign}" if sign in _BASH_SPECIAL else sign for sign in text[line.after_break :])
