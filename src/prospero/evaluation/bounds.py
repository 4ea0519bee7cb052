"""How much text a validation and the final test read: enough to tell runs apart, a small share of the time."""

import math
from dataclasses import dataclass

ALL, AUTO = "all", "auto"
SHARE_OF_TIME = 0.02
"""What validations may take of a run's time, and the test as much again."""
FORWARD_SHARE = 1 / 3
"""What a forward pass costs of a forward and a backward pass."""
LEAST_TOKENS = 1_000_000
"""What is read however short the run is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What one evaluation reads of its split."""

    sequences: int
    of_sequences: int
    """The whole split."""
    seq_len: int
    setting: str
    """The setting that takes all of it."""

    def describe(self) -> str:
        """Return `of 1,000,192 of 4,200,448 tokens (all: trainer.val_sequences=all)`."""
        tokens, of_tokens = self.sequences * self.seq_len, self.of_sequences * self.seq_len
        if self.sequences == self.of_sequences:
            return f"of all {tokens:,} tokens"
        return f"of {tokens:,} of {of_tokens:,} tokens (all: {self.setting}={ALL})"


def bounded(asked: "int | str | None", *, of_sequences: int, seq_len: int, trained_tokens: int | None) -> int:
    """Return how many of a split's sequences an evaluation reads.

    `asked` is a number, `all` or None (all), or `auto`: then as many as take SHARE_OF_TIME of the time in which
    `trained_tokens` are trained on (None: not known), and at least LEAST_TOKENS. The rule counts tokens and reads no
    clock, so that two runs of the same settings validate on the same text.
    """
    if asked is None or asked == ALL:
        return of_sequences
    if isinstance(asked, int):
        return min(asked, of_sequences)
    tokens = max(LEAST_TOKENS, SHARE_OF_TIME / FORWARD_SHARE * (trained_tokens or 0))
    return min(of_sequences, math.ceil(tokens / seq_len))
