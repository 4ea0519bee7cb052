"""The likelihood of an ending: what is shared, what is scored, and by hand how likely it is."""

import math

import pytest

from prospero.data.tokenizer.bpe import BPETokenizerConfig
from prospero.evaluation.measurement import Subject
from prospero.evaluation.tasks.likelihood import Ending, bits_and_bytes, endings, log_likelihoods
from tests.evaluation.tasks.fakes import END, TOKENIZER, BigramDecoder, bits, subject

TABLE = {"a": {"b": 0.5, "c": 0.25}, "b": {"c": 0.125}, END: {"a": 0.5}}


def test_by_hand():
    model = subject(TABLE)
    (ending,) = endings(model, "xa", ["bc"])
    assert ending == Ending(TOKENIZER.encode("xa"), TOKENIZER.encode("bc"))
    assert log_likelihoods(model, [ending])[0] == pytest.approx(math.log(0.5 * 0.125), abs=1e-5)
    found = bits_and_bytes(model, [("xa", "bc"), ("", "ab"), ("xa", ""), ("x", "é")])
    assert found[0] == pytest.approx([bits(0.5, 0.125), 2])
    assert found[1] == pytest.approx([bits(0.5, 0.5), 2])  # after the separator
    assert found[2] == [0.0, 0.0]
    assert found[3][1] == 2  # bytes of UTF-8, not characters


def test_of_a_long_beginning_the_end_counts():
    model = subject(TABLE, window=4)
    (ending,) = endings(model, "z" * 100_000 + "a", ["bc"])
    assert log_likelihoods(model, [ending])[0] == pytest.approx(math.log(0.5 * 0.125), abs=1e-5)
    assert isinstance(model.decoder, BigramDecoder) and model.decoder.passes == 1  # with all that fits behind it
    (longer,) = endings(model, "a", ["bc" * 5])  # longer than the window itself: it slides
    uniform = 1 / TOKENIZER.vocab_size
    assert log_likelihoods(model, [longer])[0] == pytest.approx(
        math.log(0.5) + 5 * math.log(0.125) + 4 * math.log(uniform), abs=1e-4
    )


def test_many_at_a_time_in_their_order():
    model = subject(TABLE, window=6, rows=2)
    texts = [("a", "b"), ("xxxxxxxxa", "bc"), ("a", "bc"), ("a", "b"), ("", "a")]
    wanted = [endings(model, before, [end])[0] for before, end in texts]
    expected = [math.log(p) for p in (1 / 2, 1 / 16, 1 / 16, 1 / 2, 1 / 2)]
    assert log_likelihoods(model, wanted) == pytest.approx(expected, abs=1e-5)
    assert log_likelihoods(model, []) == []


def test_a_token_over_the_meeting_place_is_the_same_for_all_ends():
    text = "the then them there " * 30
    tokenizer = BPETokenizerConfig(vocab_size=300).build(lambda: iter([text]))
    assert len(tokenizer.encode("the")) < len(tokenizer.encode("th")) + len(tokenizer.encode("e"))
    model = Subject(decoder=BigramDecoder({}), tokenizer=tokenizer, name="x")
    one, other = endings(model, "a th", ["e", "x"])
    assert one.before == other.before  # of "a th" what neither end merges with
    assert tokenizer.decode([*one.before, *one.after]) == "a the"
    assert tokenizer.decode([*other.before, *other.after]) == "a thx"
    (whole,) = endings(model, "th", ["e"])  # all of it is one token: it is predicted from the separator
    assert whole == Ending([tokenizer.eot_id], tokenizer.encode("the"))
