"""A prompt that fits: what is cut, how much, and that nothing else is."""

from prospero.data.template import Template
from prospero.evaluation.tasks.prompt import Keep, Room, fitted, longest
from tests.evaluation.tasks.fakes import TOKENIZER

TEMPLATE = Template("<{text}> {question}?", "template")


def fit(text, tokens, keep=Keep.beginning, question="q"):
    prompt = fitted(TEMPLATE, {"text": text, "question": question}, "text", keep, Room(TOKENIZER, tokens + 1, 1))
    return prompt.text, prompt.left_out


def test_only_the_source_is_cut_and_as_little_as_needed():
    assert fit("abcdef", 11) == ("<abcdef> q?", 0)
    assert fit("abcdef", 10) == ("<abcde> q?", 1)
    assert fit("abcdef", 8, Keep.end) == ("<def> q?", 3)
    assert fit("abcdef", 5) == ("<> q?", 6)
    assert fit("éàü", 9) == ("<éà> q?", 1)  # two bytes each: a character is never cut in two
    assert fit("éàü", 8) == ("<é> q?", 2)


def test_where_the_rest_is_too_long_the_end_of_the_whole_counts():
    assert fit("abc", 4) == ("> q?", 4)
    assert fit("abc", 3, question="longer") == ("er?", 10)


def test_a_document_of_100_000_tokens_is_cut_to_the_room():
    text, left_out = fit("word " * 20_000, 100)
    assert len(text) == 100 and left_out == 100_000 - 95
    assert Room(TOKENIZER, None, 64).holds("word " * 20_000)


def test_the_room_beside_what_is_written_is_at_least_half_of_the_window():
    assert [Room(TOKENIZER, 100, new).tokens for new in (10, 40, 60, 500)] == [90, 60, 50, 50]
    assert Room(TOKENIZER, 1, 1).tokens == 1


def test_the_greatest_length_that_holds():
    assert [longest(lambda n, most=most: n <= most, 7) for most in (0, 1, 3, 6, 7, 9)] == [0, 1, 3, 6, 7, 7]
