"""What a run wrote as text: samples, rollouts, what its tasks saw, and the end of its log."""

import os
import re
import stat
from pathlib import Path
from typing import Any

from prospero.printable import printable, printable_lines
from prospero.secret_values import scrub

MOST_BYTES = 192 * 1024
"""How much of the end of a file is read."""
LOG_BYTES = 8 * 1024
MOST_SECTIONS = 120
_HEADING = re.compile(r"^## (?=step \d)", re.MULTILINE)
_STEP = re.compile(r"step (\d{1,18})(?:, [\d,]+ tokens)?,? ?")
_FENCES = re.compile(r"\A`{3,}\w*\n|\n`{3,}\s*\Z")


def sections(path: Path) -> list[dict[str, Any]]:
    """Return {"step", "title", "text"} of the newest sections (`## step <n>, ...`) of a file, the oldest first."""
    found = []
    for part in _HEADING.split(tail(path, MOST_BYTES))[1:][-MOST_SECTIONS:]:
        heading, _, text = part.partition("\n")
        step = _STEP.match(heading)
        if step is not None:
            title = heading[step.end() :].strip()
            found.append({"step": int(step[1]), "title": title, "text": _FENCES.sub("", text.strip())})
    return found


def log_lines(path: Path) -> list[str]:
    """Return the last lines of a log."""
    return [printable(line) for line in tail(path, LOG_BYTES).splitlines()]


def tail(path: Path, most: int) -> str:
    """Return the end of a text file from a line's beginning on; nothing where there is no plain file to read."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with open(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            return ""
        start = max(0, found.st_size - most)
        file.seek(start)
        data = file.read(most)
    if start:
        data = data[data.find(b"\n") + 1 :]
    return printable_lines(scrub(data.decode("utf-8", "replace").replace("\r\n", "\n")))
