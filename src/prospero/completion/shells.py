"""How bash, zsh and fish are told what there is: the scripts that they read once, and the answers to each TAB."""

import re
from pathlib import Path

from prospero import registry
from prospero.completion.answer import Candidate, candidates
from prospero.completion.line import Line, cut, in_bash
from prospero.printable import printable

SHELLS = ("bash", "zsh", "fish")
MEANING = 90
"""Characters of a meaning, at most."""
_LISTING = ("9", "33", "63")
"""Kinds of completion in bash in which what there is, is listed; in the others one after the other is put in."""


def script(shell: str) -> str:
    """Return the script of a shell, for `eval` or a file of its completions."""
    text = (Path(__file__).parent / "scripts" / f"prospero.{shell}").read_text(encoding="utf-8")
    return text.replace("@PROGRAMS@", "|".join(registry.VERBS))


def answer(shell: str, words: list[str]) -> str:
    """Return the answer to one TAB; `words` are what the script of the shell hands over.

    bash: kind of completion, its word breaks, the line up to the cursor. zsh and fish: the line up to the cursor.
    """
    if shell == "bash":
        kind, breaks, text = words
        line = cut(text, breaks=breaks)
        return _bash(line, _found(line), listing=kind in _LISTING)
    line = cut(words[0], fish=shell == "fish")
    found = _found(line)
    return _zsh(line, found) if shell == "zsh" else _fish(found)


def _found(line: Line) -> list[Candidate]:
    return [] if line.redirected else candidates(line.words, line.word)


def _bash(line: Line, found: list[Candidate], *, listing: bool) -> str:
    """The first line says whether a space follows, then one line each; the meanings stand where only a list is made."""
    texts = [in_bash(line, one.text) for one in found]
    if listing and len(found) > 1:
        width = max(map(len, texts))
        texts = [
            f"{text:<{width}}  ({meaning})" if (meaning := _meaning(one)) else text for text, one in zip(texts, found)
        ]
    goes_on = any(one.goes_on for one in found)
    return "\n".join(["nospace" if goes_on else "space", *texts])


def _zsh(line: Line, found: list[Candidate]) -> str:
    """One line each: + where more of the word follows, else -; the word; a tab; how it is shown.

    What is completed follows the signs that the first line names; the whole word does where a quote begins it.
    """
    value = line.word.partition("=")[2]
    is_list = value.startswith("[") or ("," in value and all("," in one.text for one in found))
    quoted = line.quote and not line.after_quote
    after = "" if quoted or "=" not in line.word else "list" if is_list and value else "value"
    begun = {"": 0, "value": line.word.find("=") + 1, "list": max(map(line.word.rfind, "[,")) + 1}[after]
    names = [one.text[begun:] for one in found]
    width = max(map(len, names), default=0)
    shown = [f"{name:<{width}}  -- {text}" if (text := _meaning(one)) else name for name, one in zip(names, found)]
    lines = (f"{'+' if one.goes_on else '-'}{name}\t{text}" for one, name, text in zip(found, names, shown))
    return "\n".join([after, *lines])


def _fish(found: list[Candidate]) -> str:
    """One line each: the word, a tab, its meaning. fish puts a space after a word alone, so a list has two ends."""
    lines = []
    for one in found:
        ends = ["]", ","] if "=[" in one.text and one.text[-1] not in "/[," else [""]
        lines += [f"{one.text}{end}\t{_meaning(one)}" for end in ends]
    return "\n".join(lines)


def _meaning(one: Candidate) -> str:
    """The first sentence, in a line."""
    text = printable(re.split(r"(?<=[.;])\s", one.meaning)[0].strip())
    value = re.search(r" \[[^\]]*\]$", one.meaning)
    text = text.rstrip(".;") + (value[0] if value and not text.endswith(value[0]) else "")
    return text if len(text) <= MEANING else text[: MEANING - 3] + "..."
