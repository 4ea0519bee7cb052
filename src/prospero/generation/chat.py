"""A dialogue with a model: its messages, what of them fits the model, and answers as they are written.

A conversation becomes tokens by the same template as in training. When it no longer fits what the model reads at once,
the oldest turns leave; the system prompt stays.
"""

from collections.abc import Generator
from dataclasses import replace

from prospero.data.rendering.chat_template import ChatTemplate
from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.errors import ConfigError, DataError
from prospero.generation.decoder import Decoder
from prospero.generation.engine import Engine
from prospero.generation.sampling import SamplingConfig
from prospero.generation.text import Completion
from prospero.generation.turns import Fitted, Turns, without


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
        self.turns = Turns(tokenizer, template)
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
        engine = Engine(self.decoder, self.tokenizer, max_rows=1, ends=self.turns.ends)
        sampling = replace(self.sampling, max_new_tokens=fitted.room, stop=[*self.sampling.stop, *self.turns.marks])
        handle = engine.add(fitted.ids, sampling, row=len(self.messages) // 2)
        lead, done, shown = self.turns.frame.lead, None, ""
        try:
            while not engine.idle:
                with self.decoder.session():
                    events = engine.step()
                for event in events:
                    done = event.completion or done
                    piece, lead = without(event.text, lead)
                    shown += piece
                    if piece:
                        yield piece
        finally:  # where the reader has enough, what is there counts
            self.completion = done or engine.remove(handle)
            self.messages.append({"role": "assistant", "content": shown})

    def _fitted(self) -> Fitted:
        window, wanted = self.decoder.window, self.sampling.max_new_tokens
        return self.turns.fitted(self._begun(), self.messages, window=window, wanted=wanted, left_out=self.left_out)

    def _begun(self) -> list[dict[str, str]]:
        return [] if self.system is None else [{"role": "system", "content": self.system}]


def checked(sampling: SamplingConfig) -> SamplingConfig:
    """Return the settings; ConfigError for those that make no single answer."""
    if sampling.n > 1 or sampling.beams > 1:
        name = "n" if sampling.n > 1 else "beams"
        raise ConfigError(f"a chat writes one answer as it goes; leave {name} at 1")
    return sampling
