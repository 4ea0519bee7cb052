"""A text as it grows: its lead, its tokens, its end."""

from prospero.generation.engine import Event, Likely
from prospero.generation.text import Completion
from prospero.serving.choices import Choice, Piece, merged


def likely(id_: int, start: int) -> Likely:
    return Likely(id_, -1.0, [], start)


def test_the_lead_is_no_part_of_an_answer():
    choice = Choice(2, lead=" ")
    assert choice.take(Event(0, " ", None)) == Piece(2)
    assert choice.take(Event(0, "a ", None)) == Piece(2, "a ")
    done = choice.take(Event(0, "b", Completion(" a b", [5, 6, 7], "separator")))
    assert done == Piece(2, "b", [], "stop", "separator") and choice.text == "a b" and choice.count == 3


def test_tokens_come_with_their_text_and_those_of_a_stop_text_never():
    choice = Choice(0)
    assert choice.take(Event(0, "a", None, likely(1, 0))).tokens == [likely(1, 0)]
    assert choice.take(Event(0, "", None, likely(2, 1))).tokens == []  # "EN" may become the stop text "END"
    assert choice.take(Event(0, "EN", None, likely(3, 3))).tokens == [likely(2, 1)]
    assert choice.take(Event(0, "x", None, likely(4, 4))).tokens == [likely(3, 3)]
    last = choice.take(Event(0, "", Completion("aENx", [1, 2, 3, 4, 5], "stop"), likely(5, 5)))
    assert last == Piece(0, "", [], "stop", "stop") and choice.tokens == [
        likely(n, s) for n, s in ((1, 0), (2, 1), (3, 3))
    ]


def test_what_is_held_at_another_end_belongs_to_the_text():
    choice = Choice(0)
    assert choice.take(Event(0, "", None, likely(1, 0))).tokens == []
    last = choice.take(Event(0, "\ufffd", Completion("\ufffd", [1, 2], "length"), likely(2, 0)))
    assert last.tokens == [likely(1, 0), likely(2, 0)] and last.finish == "length"


def test_what_the_server_ended_is_of_full_length_and_says_why():
    choice = Choice(0)
    choice.take(Event(0, "a", None))
    last = choice.take(Event(0, "", Completion("abc", [1, 2, 3], "time")))
    assert (last.text, last.finish, choice.ended_by, choice.text) == ("bc", "length", "time", "abc")


def test_pieces_of_one_text_become_one():
    pieces = [
        Piece(1, "a"),
        Piece(0, "x", [likely(1, 0)]),
        Piece(1, "b", [likely(2, 1)], "stop", "stop"),
        Piece(0, "y"),
    ]
    assert merged(pieces) == [Piece(1, "ab", [likely(2, 1)], "stop", "stop"), Piece(0, "xy", [likely(1, 0)])]
    assert pieces[0] == Piece(1, "a")
