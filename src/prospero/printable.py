"""Foreign text on its way to a terminal or a log: nothing in it steers the terminal or forges a line of ours.

Names of files, fields and archives, and what a model writes, can hold escape sequences, line ends and marks that turn
the direction of writing. They are shown as Python writes them: \\x1b, \\n, \\u202e.
"""

import re

_STEERING = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff"
_IN_LINES = re.compile(f"[{_STEERING}]")
_IN_ONE_LINE = re.compile(rf"[\t\n{_STEERING}]")


def printable(text: object) -> str:
    """Return `text` as one line: controls, line ends, marks of direction and lone surrogates as escapes."""
    return _IN_ONE_LINE.sub(_escaped, str(text))


def printable_lines(text: str) -> str:
    """Return `text` with its line ends and tabs, and everything else that steers a terminal as escapes."""
    return _IN_LINES.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape", "surrogatepass").decode("ascii")
