"""The command lines that stand in the documentation, for the test that composes them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace

from prospero.registry import in_two_words

VERB_FILES = ("train.py", "prepare.py", "generate.py", "evaluate.py", "serve.py")
_INLINE = re.compile(r"`((?:python [a-z]+\.py|prospero [a-z_]+)[^`\n]*)`")
_LEFT_OUT = re.compile(r"\.\.\.|[<>|…]|\{\w+,")
"""What a command that is told of and not meant to be typed has: `prospero show batch ...`."""


@dataclass(frozen=True)
class Command:
    """One call of a verb."""

    verb: str
    words: tuple[str, ...]
    told: bool = False
    """Between backticks in prose: settings that it needs may be missing."""


def commands_of(markdown: str) -> Iterator[Command]:
    """Yield every call of a verb in the code of a page, in blocks and between backticks, but what is told in short."""
    for line in _lines_of_blocks(markdown):
        yield from _calls(line)
    for line in _INLINE.findall(markdown):
        yield from (replace(call, told=True) for call in _calls(line))


def _lines_of_blocks(markdown: str) -> Iterator[str]:
    """Yield the lines of code, those that end with a backslash put together with the next."""
    fenced, whole = False, ""
    for line in markdown.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            whole += line.strip()
            if whole.endswith("\\"):
                whole = whole[:-1]
                continue
            yield whole
            whole = ""


def _calls(line: str) -> Iterator[Command]:
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # no command: an apostrophe in what a program prints
        return
    if _LEFT_OUT.search(" ".join(words)):
        return
    for part in _parts(words):
        while part and re.fullmatch(r"[A-Z_]+=\S*", part[0]):  # variables of the environment before it
            part = part[1:]
        part = [word for word in part if not word.startswith("$")]
        if len(part) > 1 and part[0] == "python" and part[1] in VERB_FILES:
            yield Command(part[1].removesuffix(".py"), tuple(part[2:]))
        elif len(part) > 1 and part[0] == "prospero" and not part[1].startswith("-"):
            verb, rest = in_two_words(part[1], part[2:])
            yield Command(verb, tuple(rest))
        elif part and part[0] == "torchrun":
            place = next((i for i, word in enumerate(part) if word in VERB_FILES), None)
            if place is not None:
                yield Command(part[place].removesuffix(".py"), tuple(part[place + 1 :]))


def _parts(words: list[str]) -> list[list[str]]:
    """Return the commands of a line that `&&`, `;` and `|` join."""
    parts: list[list[str]] = [[]]
    for word in words:
        if word in ("&&", ";", "|", "&"):
            parts.append([])
        else:
            parts[-1].append(word)
    return parts
