"""The errors a user can cause. Each is one readable line: what was found, what is allowed, what to do."""

import difflib
import signal
from collections.abc import Iterable


class ProsperoError(Exception):
    """A mistake that the user can mend; the program prints it as one line and leaves with `exit_code`."""

    exit_code = 2


class ConfigError(ProsperoError, ValueError):
    """A setting is unknown, of the wrong type, or impossible together with another."""


class DataError(ProsperoError, ValueError):
    """The text, a file or a folder cannot be used as it is."""


class Interrupted(BaseException):
    """A signal ended the program where nothing can be saved; it prints one line and leaves with 128 + the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.exit_code = 128 + number


def suggest(word: str, allowed: Iterable[str]) -> str:
    """Return `" Did you mean 'x'?"` for the nearest of `allowed`, or an empty string when nothing is near."""
    near = difflib.get_close_matches(word, list(allowed), n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else ""
