"""One text of an answer as it grows: what is shown, which tokens belong to it, and why it ended."""

from collections import deque
from dataclasses import dataclass, field

from prospero.generation.engine import Event, Likely
from prospero.generation.turns import without

FINISH = {"separator": "stop", "stop": "stop", "length": "length", "time": "length", "shutdown": "length"}
"""Why a text ended in our words -> in OpenAI's."""


@dataclass(slots=True)
class Piece:
    """What has come of one text since the last piece."""

    index: int
    text: str = ""
    tokens: list[Likely] = field(default_factory=list)
    """Those that belong to what is shown by now; empty where they are not asked for."""
    finish: str | None = None
    """stop or length, where the text has ended."""
    ended_by: str = ""
    """Why, in our words (see Choice)."""


class Choice:
    """The text number `index` of an answer."""

    def __init__(self, index: int, lead: str = "") -> None:
        self.index = index
        self.text = ""
        """What is shown, without the lead."""
        self.tokens: list[Likely] = []
        self.finish: str | None = None
        self.ended_by = ""
        """separator, stop or length; time or shutdown where the server has ended it."""
        self.count = 0
        """Tokens drawn."""
        self._lead, self._length = lead, 0  # characters that have come, the lead included
        self._held: deque[Likely] = deque()

    def take(self, event: Event) -> Piece:
        """Take the next event and return what it adds."""
        piece, done = Piece(self.index), event.completion
        new = event.text if done is None else done.text[self._length :]
        self._length += len(new)
        shown, self._lead = without(new, self._lead)
        if event.likely is not None:
            self._held.append(event.likely)
        if done is not None:
            self.count = len(done.ids)
            self.ended_by = piece.ended_by = done.ended_by
            self.finish = piece.finish = FINISH[done.ended_by]
        else:
            self.count += 1
        piece.text, piece.tokens = shown, self._released()
        self.text += shown
        self.tokens += piece.tokens
        return piece

    def _released(self) -> list[Likely]:
        """Return the held tokens whose text is shown; those of a stop text never are."""
        whole = self.finish is not None and self.ended_by != "stop"
        found = []
        while self._held and (whole or self._held[0].start < self._length):
            found.append(self._held.popleft())
        return found


def merged(pieces: list[Piece]) -> list[Piece]:
    """Return one piece for each text, in the order in which they first came."""
    found: dict[int, Piece] = {}
    for piece in pieces:
        into = found.setdefault(piece.index, Piece(piece.index))
        into.text += piece.text
        into.tokens += piece.tokens
        into.finish, into.ended_by = piece.finish or into.finish, piece.ended_by or into.ended_by
    return list(found.values())
