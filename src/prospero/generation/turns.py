"""What a model reads of a dialogue: its tokens by the template of training, what of it fits, and where answers end."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from prospero.data.rendering.chat_template import BUILT_IN, ChatTemplate, Frame, Message, ids_of
from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.errors import ConfigError, DataError

MARKS_OF_OTHERS = {"plain": ["\nUser:", "\nSystem:", "\nTool:"], "python_prompt": ["\n>>>", ">>>"]}
"""How a model that reads marks of text goes on with somebody else's turn, which is no part of its answer."""


@dataclass(slots=True)
class Fitted:
    """The part of a dialogue that a model reads, and how long its answer may become."""

    ids: list[int]
    left_out: int
    """Messages at the beginning that no longer fit."""
    room: int
    """Tokens for the answer."""


class Turns:
    """Dialogues as one model reads them."""

    def __init__(self, tokenizer: Tokenizer, template: ChatTemplate | None = None) -> None:
        """Take a template; None: the tokenizer's own, else plain."""
        self.tokenizer = tokenizer
        self.template = template or ChatTemplate.of(tokenizer)

    def ids(self, messages: Sequence[Message]) -> list[int]:
        """Return the tokens of messages and of the beginning of an answer; DataError for what the template refuses."""
        ids = ids_of(self.template.prompt(messages), self.tokenizer)
        first = self._first_id
        return ids if first is None or ids[:1] == [first] else [first, *ids]

    def fitted(
        self, begun: Sequence[Message], turns: Sequence[Message], *, window: int | None, wanted: int, left_out: int = 0
    ) -> Fitted:
        """Return what of `turns` after `begun` (the system prompt, which stays) fits, the first `left_out` aside.

        Half of what the model reads (`window`) is kept free for the answer of `wanted` tokens, if it is so long; a
        question alone may leave it less: an eighth. What is left begins with a question. Raises ConfigError for a
        question that does not fit, and where there is none.
        """
        starts = [place for place in range(left_out, len(turns)) if turns[place]["role"] == "user"]
        if not starts:
            raise ConfigError("the dialogue holds no message of the user; begin with one")
        if window is None:
            return Fitted(self.ids([*begun, *turns[starts[0] :]]), starts[0], wanted)
        room, read = min(wanted, window // 2), dict[int, list[int]]()

        def too_long(start: int) -> bool:
            read[start] = self.ids([*begun, *turns[start:]])
            return len(read[start]) + room > window

        # Tokens grow fewer with the turns, so that a few readings find the place, also among many turns.
        place = bisect_left(starts, True, key=lambda start: not too_long(start))
        if place == len(starts):
            place, room = place - 1, min(room, max(1, window // 8))
        ids = read[starts[place]]
        if len(ids) + room > window:
            raise ConfigError(
                f"the message has {len(ids):,} tokens with the system prompt, and the model reads {window:,} at once, "
                f"of which {room:,} are for its answer; shorten it"
            )
        return Fitted(ids, starts[place], min(window - len(ids), wanted))

    @property
    def _first_id(self) -> int | None:
        """What stands before every text: the tokenizer's BOS; with a template of ours the separator, as in training."""
        if self.tokenizer.bos_id is not None:
            return self.tokenizer.bos_id
        return self.tokenizer.eot_id if self.template.name in BUILT_IN else None

    @cached_property
    def frame(self) -> Frame:
        """What stands around an answer; nothing where the template does not let it be told."""
        try:
            return self.template.frame
        except DataError:
            return Frame("", None, "")

    @property
    def ends(self) -> list[int]:
        """The tokens that end an answer, beside the separator."""
        return [] if self.frame.end is None else [self.tokenizer.control_id(self.frame.end)]

    @property
    def marks(self) -> list[str]:
        """The texts with which somebody else's turn begins."""
        return MARKS_OF_OTHERS.get(self.template.name, [])


def without(piece: str, lead: str) -> tuple[str, str]:
    """Return a piece without what stands before every answer, and what of that is still to come."""
    same = 0
    while same < min(len(piece), len(lead)) and piece[same] == lead[same]:
        same += 1
    return piece[same:], lead[same:] if piece[same:] == "" else ""
