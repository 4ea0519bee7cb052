"""Listed words: whole words and phrases whatever their case, from a file of the user's."""

import pytest

from prospero.analysis.listed_words import ListedWordsConfig, count_listed, read_list
from prospero.errors import DataError
from prospero.evaluation.measurement import Subject
from tests.analysis.test_pii import BYTES, GREEDY, facts
from tests.generation.test_chat import Scripted


def test_whole_words_are_counted_whatever_their_case():
    counts, words = count_listed("TODO: fix the todo-list; mastodon. Straße STRASSE", ["todo", "strasse", "fix the"])
    assert counts == {"todo": 2, "strasse": 2, "fix the": 1} and words == 8
    assert count_listed("", ["todo"]) == ({}, 0)


def test_a_list_is_read_without_remarks_and_copies(tmp_path):
    file = tmp_path / "list.txt"
    file.write_text("# of mine\nFoo\n\nbar  baz # both\nFOO\n")
    assert read_list(file, "x") == ["foo", "bar baz"]
    file.write_text("# nothing\n")
    with pytest.raises(DataError, match="lists no word"):
        read_list(file, "x")
    with pytest.raises(DataError, match="cannot be read"):
        read_list(tmp_path / "none", "x")


def test_the_rate_in_what_a_model_writes(tmp_path):
    texts = ["todo and TODO", "nothing of it", "a hack"]
    subject = Subject(decoder=Scripted(BYTES, texts, BYTES.eot_id), tokenizer=BYTES, name="scripted", rows=1)
    found = ListedWordsConfig(texts=3, decoding=GREEDY).build("listed_words", facts())(subject)
    assert found.value("per_1000_words") == pytest.approx(3000 / 8) and found.value("texts") == pytest.approx(2 / 3)
    assert found.measurement.tables(found)[0].rows == [["todo", 2], ["hack", 1]]
