"""How much an evaluation reads, with exact numbers."""

import pytest

from prospero.evaluation.bounds import Bound, bounded

SPLIT = {"of_sequences": 100_000, "seq_len": 256}


@pytest.mark.parametrize(
    ("asked", "trained_tokens", "expected"),
    [
        (64, None, 64),
        (10**9, None, 100_000),
        ("all", 1, 100_000),
        (None, 1, 100_000),
        ("auto", None, 3907),  # 1 M tokens / 256, rounded up
        ("auto", 16_000_000, 3907),  # 2 % of the time is less than 1 M tokens
        ("auto", 100_000_000, 23_438),  # 2 % of the time at a third of the cost: 6 % of the tokens, / 256
        ("auto", 10**12, 100_000),
    ],
)
def test_how_many_sequences_are_read(asked, trained_tokens, expected):
    assert bounded(asked, trained_tokens=trained_tokens, **SPLIT) == expected


def test_what_is_said():
    some = Bound(sequences=4, of_sequences=10, seq_len=256, setting="trainer.val_sequences")
    assert some.describe() == "of 1,024 of 2,560 tokens (all: trainer.val_sequences=all)"
    everything = Bound(sequences=10, of_sequences=10, seq_len=256, setting="trainer.val_sequences")
    assert everything.describe() == "of all 2,560 tokens"
