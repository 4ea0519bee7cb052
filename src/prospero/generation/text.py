"""One continuation as text: complete characters only, and stop texts held back until they are ruled out."""

from collections.abc import Collection
from dataclasses import dataclass, field

from prospero.data.tokenizer.tokenizer import StreamDecoder, Tokenizer
from prospero.generation.sampling import SamplingConfig


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model wrote after a prompt."""

    text: str
    """The continuation, without the prompt and without the text that stopped it."""
    ids: list[int]
    """All ids drawn, without the separator."""
    ended_by: str
    """separator (the model closed the document, or its turn), stop (one of the stop texts), or length."""
    log_probabilities: list[float] = field(default_factory=list, compare=False)
    """Natural logarithm of what the model (before temperature and penalties) gave each id; empty if not asked for."""


class Writer:
    """Takes ids one by one and says what can be shown."""

    def __init__(self, tokenizer: Tokenizer, sampling: SamplingConfig, ends: Collection[int] = ()) -> None:
        self.decoder = StreamDecoder(tokenizer)
        self.ends, self.stop = {tokenizer.eot_id, *ends}, sampling.stop
        self.text, self.ids, self.ended_by = "", [], ""
        self.log_probabilities: list[float] = []
        self.shown = 0

    def push(self, token: int, log_probability: float | None = None) -> str:
        """Take the next token and return the text that can be shown now; nothing after the end."""
        if self.ended_by:
            return ""
        if token in self.ends:
            self.ended_by = "separator"
            return ""
        self.ids.append(token)
        if log_probability is not None:
            self.log_probabilities.append(log_probability)
        self.text += self.decoder.push(token)
        self._cut()
        return self._show(len(self.text) - (0 if self.ended_by else self._pending()))

    def finish(self) -> Completion:
        """Return the whole, a half-received character included."""
        if self.ended_by != "stop":
            self.text += self.decoder.finish()
            self._cut()
        return Completion(self.text, self.ids, self.ended_by or "length", self.log_probabilities)

    def _cut(self) -> None:
        """End before the first stop text."""
        places = [place for place in (self.text.find(stop) for stop in self.stop) if place >= 0]
        if places:
            self.text, self.ended_by = self.text[: min(places)], "stop"

    def _pending(self) -> int:
        """Return how many characters at the end may yet grow into a stop text."""
        longest = max((len(stop) for stop in self.stop), default=1) - 1
        for count in range(min(longest, len(self.text)), 0, -1):
            if any(stop.startswith(self.text[-count:]) for stop in self.stop):
                return count
        return 0

    def _show(self, end: int) -> str:
        piece, self.shown = self.text[self.shown : end], max(self.shown, end)
        return piece
