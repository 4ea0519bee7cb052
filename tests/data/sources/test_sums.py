"""The embedded sums."""

import pytest

from prospero.data.sources.sums import SumsConfig
from prospero.errors import ConfigError


def test_every_sum_once_and_right():
    records = [document.record for document in SumsConfig().build().documents()]
    assert len(records) == 8100 == len({record["prompt"] for record in records if record})
    for record in records:
        assert record is not None
        a, b = record["prompt"].removesuffix("=").split("+")
        assert 10 <= int(a) <= 99 and int(a) + int(b) == int(record["answer"]) == int(record["response"])


def test_reversed_from_the_last_digit_on():
    first = next(iter(SumsConfig(digits=1, reversed=True).build().documents()))
    last = list(SumsConfig(digits=1, reversed=True).build().documents())[-1]
    assert first.record == {"prompt": "0+0=", "response": "0", "answer": "0"}
    assert last.record == {"prompt": "9+9=", "response": "81", "answer": "18"}
    assert SumsConfig(reversed=True).build().identity() != SumsConfig().build().identity()


def test_too_many_digits_are_refused():
    with pytest.raises(ConfigError, match="digits=4"):
        SumsConfig(digits=4)
