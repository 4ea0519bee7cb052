"""A stream of JSON that is parsed piece by piece, so that a file may be longer than memory."""

import json
import re
from collections.abc import Iterator
from typing import Any

from prospero.errors import DataError

_SPACE = re.compile(r"[ \t\r\n]*")
_UNENDED = re.compile(r"[^ \t\r\n,:\]}]*\Z")
_CLOSED = frozenset(']}"')
_ENDS = {"{": "}", "[": "]"}
_STRUCTURE = re.compile(r'["{}\[\]]')
_IN_STRING = re.compile(r'["\\]')


class JsonWindow:
    """The part of a stream of JSON that is being parsed; it doubles while a value does not fit."""

    def __init__(self, blocks: Iterator[str], name: str, decoder: json.JSONDecoder, limit: int) -> None:
        """Take the blocks of the file called `name`; a value longer than `limit` characters is refused."""
        self.blocks, self.name, self.decoder, self.limit = blocks, name, decoder, limit
        self.buffer = ""
        self.start = 0
        self.passed = 0

    @property
    def offset(self) -> int:
        """The place in the file, in characters."""
        return self.passed + self.start

    def more(self) -> bool:
        """Read at least as much again; return False at the end of the stream."""
        pieces = [self.buffer[self.start :]]
        wanted, got = max(1, len(pieces[0])), 0
        while got < wanted and (block := next(self.blocks, None)) is not None:
            pieces.append(block)
            got += len(block)
        if got:
            self.passed += self.start
            self.buffer, self.start = "".join(pieces), 0
        return got > 0

    def rest(self) -> bool:
        """Return whether there is anything left."""
        return self.start < len(self.buffer) or self.more()

    def skip_space(self) -> None:
        """Go to the next character that is not white space."""
        while True:
            self.start = _SPACE.match(self.buffer, self.start).end()  # type: ignore[union-attr]
            if self.start < len(self.buffer) or not self.more():
                return

    def take(self, character: str) -> bool:
        """Step over `character` when it comes next."""
        if not self.rest() or self.buffer[self.start] != character:
            return False
        self.start += 1
        return True

    def value(self) -> Any:
        """Return the value that comes next and step over it; `DataError` when it is broken, cut off or too long."""
        while True:
            try:
                value, end = self.decoder.raw_decode(self.buffer, self.start)
                # A number at the very end may go on in the next block: 12, then .5 or 12.5e, then 3.
                if self.buffer[end - 1] in _CLOSED or not _UNENDED.match(self.buffer, end) or not self.more():
                    self.start = end
                    return value
            except (ValueError, RecursionError) as error:
                if len(self.buffer) - self.start > self.limit:
                    raise DataError(
                        f"{self.name}: a JSON value is broken or longer than {self.limit} characters."
                    ) from None
                if isinstance(error, RecursionError) or not self.more():
                    raise DataError(f"{self.name}: not valid JSON near character {self.offset} ({error}).") from None

    def names(self) -> Iterator[str]:
        """Give the names of an object whose brace was taken; whoever asks takes each value."""
        for _ in self._members("}"):
            name = self.value()
            self.skip_space()
            if not isinstance(name, str) or not self.take(":"):
                raise self._broken("an object has names in quotes, each with a colon")
            self.skip_space()
            yield name

    def elements(self) -> Iterator[int]:
        """Give the places of a list whose bracket was taken, from 0; whoever asks takes each element."""
        return self._members("]")

    def _members(self, end: str) -> Iterator[int]:
        number = 0
        self.skip_space()
        while not self.take(end):
            if number:
                if not self.take(","):
                    raise self._broken(f"a comma or {end} is missing" if self.rest() else "it does not end: cut off")
                self.skip_space()
            if not self.rest():
                raise self._broken("it does not end: cut off")
            yield number
            number += 1
            self.skip_space()

    def skip(self) -> None:
        """Step over the value that comes next, whatever its length; of what is in it only nesting is looked at."""
        open_: list[str] = []
        while True:
            self.skip_space()
            if not self.rest():
                raise self._broken("it does not end: cut off")
            character = self.buffer[self.start]
            self.start += 1
            if character in _ENDS:
                open_.append(_ENDS[character])
            elif character == '"':
                self._skip_string()
            elif open_ and character == open_[-1]:
                open_.pop()
            elif character in "]}":
                raise self._broken(f"{character} without its beginning")
            elif not open_:
                self.start -= 1
                self.value()  # a number or a word
            if not open_:
                return
            self._to_structure()

    def _to_structure(self) -> None:
        while (found := _STRUCTURE.search(self.buffer, self.start)) is None:
            self.start = len(self.buffer)
            if not self.more():
                raise self._broken("it does not end: cut off")
        self.start = found.start()

    def _skip_string(self) -> None:
        while True:
            found = _IN_STRING.search(self.buffer, self.start)
            self.start = len(self.buffer) if found is None else found.end()
            if found is not None and found[0] == '"':
                return
            if not self.rest():
                raise self._broken("a text does not end: cut off")
            self.start += found is not None  # what a backslash stands before

    def _broken(self, what: str) -> DataError:
        return DataError(f"{self.name}: not valid JSON near character {self.offset} ({what}).")
