"""A dialogue with a model: its messages, what of them fits the model, and answers as they are written.

A conversation becomes tokens by the same template as in training. When it no longer fits what the model reads at once,
the oldest turns leave; the system prompt stays.
"""

from collections.abc import Generator
from dataclasses import dataclass, replace
from functools import cached_property

from prospero.data.rendering.chat_template import BUILT_IN, ChatTemplate, Frame, ids_of
from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.errors import ConfigError, DataError
from prospero.generation.decoder import Decoder
from prospero.generation.engine import Engine
from prospero.generation.sampling import SamplingConfig
from prospero.generation.text import Completion

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


class Chat:
    """One dialogue with one model; settings of sampling may be changed between two answers."""

    def __init__(
        self,
        decoder: Decoder,
        tokenizer: Tokenizer,
        sampling: SamplingConfig,
        *,
        system: str | None = None,
        template: ChatTemplate | None = None,
    ) -> None:
        """Begin without a message; `template` None: the tokenizer's own, else plain. ConfigError for several texts."""
        self.decoder, self.tokenizer = decoder, tokenizer
        self.template = template or ChatTemplate.of(tokenizer)
        self.sampling = checked(sampling)
        self.system = system
        self.messages: list[dict[str, str]] = []
        """All turns, those too that the model no longer reads."""
        self.left_out = 0
        """Turns at the beginning that the model no longer reads."""
        self.completion: Completion | None = None
        """The last answer, as it ended."""

    def reset(self) -> None:
        """Forget all turns; system prompt and settings stay."""
        self.messages, self.left_out, self.completion = [], 0, None

    def dialogue(self) -> list[dict[str, str]]:
        """Return the system prompt and all turns."""
        return [*self._begun(), *self.messages]

    def answer(self, text: str) -> Generator[str]:
        """Take what the user says and yield the answer piece by piece; as much as is yielded belongs to the dialogue.

        Closing the iterator ends the answer where it is. Raises ConfigError for a message that does not fit, and
        DataError for what the template refuses; the dialogue is then as before.
        """
        if self.messages and self.messages[-1]["role"] == "user":
            self.messages.pop()  # nobody has read an answer to it
        self.messages.append({"role": "user", "content": text})
        try:
            fitted = self._fitted()
        except (ConfigError, DataError):
            self.messages.pop()
            raise
        self.left_out = fitted.left_out
        return self._written(fitted)

    def _written(self, fitted: Fitted) -> Generator[str]:
        engine = Engine(self.decoder, self.tokenizer, max_rows=1, ends=self._ends)
        sampling = replace(self.sampling, max_new_tokens=fitted.room, stop=self._stop())
        handle = engine.add(fitted.ids, sampling, row=len(self.messages) // 2)
        lead, done, shown = self.frame.lead, None, ""
        try:
            while not engine.idle:
                with self.decoder.session():
                    events = engine.step()
                for event in events:
                    done = event.completion or done
                    piece, lead = _without(event.text, lead)
                    shown += piece
                    if piece:
                        yield piece
        finally:  # where the reader has enough, what is there counts
            self.completion = done or engine.remove(handle)
            self.messages.append({"role": "assistant", "content": shown})

    def _fitted(self) -> Fitted:
        """Return what of the dialogue fits; half of what the model reads is kept free for the answer, if it is so long.

        A question alone may leave it less: an eighth.
        """
        window = self.decoder.window
        room = self.sampling.max_new_tokens if window is None else min(self.sampling.max_new_tokens, window // 2)
        for left_out in range(self.left_out, len(self.messages)):
            if self.messages[left_out]["role"] != "user":
                continue  # what is left begins with a question
            ids = self._ids(self.messages[left_out:])
            if window is not None and left_out == len(self.messages) - 1:
                room = min(room, max(1, window // 8))
            if window is None or len(ids) + room <= window:
                free = self.sampling.max_new_tokens if window is None else window - len(ids)
                return Fitted(ids, left_out, min(free, self.sampling.max_new_tokens))
        raise ConfigError(
            f"the message has {len(ids):,} tokens with the system prompt, and the model reads {window:,} at once, of "
            f"which {room:,} are for its answer; shorten it"
        )

    def _ids(self, turns: list[dict[str, str]]) -> list[int]:
        ids = ids_of(self.template.prompt([*self._begun(), *turns]), self.tokenizer)
        first = self._first_id
        return ids if first is None or ids[:1] == [first] else [first, *ids]

    @property
    def _first_id(self) -> int | None:
        """What stands before every text: the tokenizer's BOS; with a template of ours the separator, as in training."""
        if self.tokenizer.bos_id is not None:
            return self.tokenizer.bos_id
        return self.tokenizer.eot_id if self.template.name in BUILT_IN else None

    def _begun(self) -> list[dict[str, str]]:
        return [] if self.system is None else [{"role": "system", "content": self.system}]

    @cached_property
    def frame(self) -> Frame:
        """What stands around an answer; nothing where the template does not let it be told."""
        try:
            return self.template.frame
        except DataError:
            return Frame("", None, "")

    @property
    def _ends(self) -> list[int]:
        return [] if self.frame.end is None else [self.tokenizer.control_id(self.frame.end)]

    def _stop(self) -> list[str]:
        return [*self.sampling.stop, *MARKS_OF_OTHERS.get(self.template.name, [])]


def checked(sampling: SamplingConfig) -> SamplingConfig:
    """Return the settings; ConfigError for those that make no single answer."""
    if sampling.n > 1 or sampling.beams > 1:
        name = "n" if sampling.n > 1 else "beams"
        raise ConfigError(f"a chat writes one answer as it goes; leave {name} at 1")
    return sampling


def _without(piece: str, lead: str) -> tuple[str, str]:
    """Return a piece without what stands before every answer, and what of that is still to come."""
    same = 0
    while same < min(len(piece), len(lead)) and piece[same] == lead[same]:
        same += 1
    return piece[same:], lead[same:] if piece[same:] == "" else ""
