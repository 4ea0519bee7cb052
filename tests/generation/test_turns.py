"""What of a dialogue a model reads."""

import random

import pytest

from prospero.errors import ConfigError
from prospero.generation.turns import Fitted, Turns, without
from tests.generation.presets import TOKENIZER


def dialogue(generator: random.Random, pairs: int) -> list[dict[str, str]]:
    """A dialogue of questions and answers of any length, which ends with a question."""
    roles = ["user", "assistant"] * pairs + ["user"]
    return [{"role": role, "content": "x" * generator.randrange(1, 60)} for role in roles]


def test_the_first_turn_that_fits_is_found_as_by_trying_one_after_the_other():
    turns, generator, seen = Turns(TOKENIZER), random.Random(3), set()
    for _ in range(60):
        begun = [{"role": "system", "content": "s" * generator.randrange(1, 30)}] * generator.randrange(2)
        messages, window = dialogue(generator, generator.randrange(6)), generator.randrange(60, 400)
        wanted, first = generator.randrange(1, 90), 2 * generator.randrange(len(messages) // 2 + 1)
        expected = None
        for start in range(first, len(messages), 2):
            ids = turns.ids([*begun, *messages[start:]])
            room = min(wanted, window // 2)
            room = min(room, max(1, window // 8)) if start == len(messages) - 1 else room
            if len(ids) + room <= window:
                expected = Fitted(ids, start, min(window - len(ids), wanted))
                break
        seen.add(None if expected is None else expected.left_out > first)
        if expected is None:
            with pytest.raises(ConfigError, match="shorten it"):
                turns.fitted(begun, messages, window=window, wanted=wanted, left_out=first)
        else:
            assert turns.fitted(begun, messages, window=window, wanted=wanted, left_out=first) == expected
    assert seen == {None, True, False}


def test_what_has_no_bound_is_read_whole_from_the_first_question_on():
    turns = Turns(TOKENIZER)
    messages = [{"role": "assistant", "content": "Welcome"}, {"role": "user", "content": "Hi"}]
    assert turns.fitted([], messages, window=None, wanted=7) == Fitted(turns.ids(messages[1:]), 1, 7)
    with pytest.raises(ConfigError, match="holds no message of the user"):
        turns.fitted([], messages[:1], window=None, wanted=7)


def test_the_lead_is_taken_away_once_however_it_comes():
    assert without("  a", " ") == (" a", "")
    assert without(" ", "  ") == ("", " ") and without(" b ", " ") == ("b ", "")
    assert without("b", " ") == ("b", "")
