"""Where the texts stand within JSON: a path such as `items.*.body`, followed through a stream of any length.

A part of a path is a name, a place in a list counted from 0, or `*` for each element of a list (or each value of an
object). A backslash before a dot or a star makes it part of a name. Memory holds one value at the
path's end; what stands beside the path is stepped over.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from prospero.data.sources.json_window import JsonWindow
from prospero.errors import ConfigError, suggest


class JsonPath:
    """The parts of a path, and what was found where it did not go on."""

    def __init__(self, text: str) -> None:
        """Raises ConfigError for a path with an empty part."""
        self.text = text
        words = re.findall(r"(?:[^.\\]|\\.?)+|\.", text, re.DOTALL)
        if words[1::2] != ["."] * (len(words) // 2) or "." in words[::2] or len(words) % 2 == 0:
            raise ConfigError(
                f"data.json_path={text!r} has an empty part; write names, places and * with a dot between them, such "
                "as items.*.body"
            )
        self.parts: list[str | None] = [None if word == "*" else re.sub(r"\\(.)", r"\1", word) for word in words[::2]]
        """Names and places; None for `*`."""
        self.missed = 0
        self.nowhere = ""
        """Where the path did not go on first."""

    def stream(self, window: JsonWindow) -> Iterator[Any]:
        """Give what stands at the path in the value that comes next in a stream."""
        yield from self._stream(window, 0)

    def values(self, value: Any) -> Iterator[Any]:
        """Give what stands at the path in a value."""
        yield from self._values(value, 0)

    def _values(self, value: Any, depth: int) -> Iterator[Any]:
        if depth == len(self.parts):
            yield value
            return
        part = self.parts[depth]
        if isinstance(value, dict) and (part is None or part in value):
            inner = list(value.values()) if part is None else [value[part]]
        elif isinstance(value, list) and part is None:
            inner = value
        elif isinstance(value, list) and part is not None and part.isdecimal() and int(part) < len(value):
            inner = [value[int(part)]]
        else:
            kind = f"a list of {len(value)}" if isinstance(value, list) else _kind(value)
            self._note(depth, kind, list(value) if isinstance(value, dict) else ())
            return
        for one in inner:
            yield from self._values(one, depth + 1)

    def _stream(self, window: JsonWindow, depth: int) -> Iterator[Any]:
        if depth == len(self.parts):
            yield window.value()
            return
        part = self.parts[depth]
        if window.take("{"):
            yield from self._in_object(window, part, depth)
        elif window.take("["):
            yield from self._in_list(window, part, depth)
        else:
            self._note(depth, _kind(window.value()))

    def _in_object(self, window: JsonWindow, part: str | None, depth: int) -> Iterator[Any]:
        names: list[str] = []
        found = False
        for name in window.names():
            if part is None or name == part:
                found = True
                yield from self._stream(window, depth + 1)
            else:
                if len(names) < 20:
                    names.append(name)
                window.skip()
        if not found:
            self._note(depth, "an object", names)

    def _in_list(self, window: JsonWindow, part: str | None, depth: int) -> Iterator[Any]:
        place = int(part) if part is not None and part.isdecimal() else None
        count = 0
        for number in window.elements():
            count = number + 1
            if part is None or number == place:
                yield from self._stream(window, depth + 1)
            else:
                window.skip()
        if part is not None and (place is None or place >= count):
            self._note(depth, f"a list of {count}")

    def _note(self, depth: int, kind: str, names: Sequence[str] = ()) -> None:
        """Count a place where the path did not go on, and keep the first, for a file in which it leads nowhere."""
        self.missed += 1
        if self.nowhere:
            return
        wanted = self.parts[depth]
        above = ".".join(part or "*" for part in self.parts[:depth]) or "the top"
        listed = f" with the names {', '.join(names[:20])}" if names else ""
        want = "no list and no object" if wanted is None else f"nothing called '{wanted}'"
        hint = "; * stands for each element" if kind.startswith("a list") else ""
        self.nowhere = f"at {above} is {kind}{listed}, {want}{hint}.{suggest(wanted or '', names)}"


def _kind(value: Any) -> str:
    names = {dict: "an object", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
