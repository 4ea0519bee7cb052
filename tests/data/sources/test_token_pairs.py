"""Pairs of lines: the right one is chosen, and a share of them is the same on every machine."""

import pytest

from prospero.data.document import Document
from prospero.data.embedded.pairs import preferences, token_pairs
from prospero.data.sources.token_pairs import TokenPairsConfig
from prospero.errors import ConfigError

LINES = [f"    value_{n} = table[key_{n}] if n == {n} else (first, second)" for n in range(200)]
FILE = Document(text="def f(table, first, second, n):\n" + "\n".join(LINES) + "\n", id="steps.py", source="steps")


def test_the_line_as_it_stands_is_chosen():
    rows = preferences([FILE])
    assert len(rows) == len(token_pairs([FILE])) == 25
    for row in rows:
        assert row["chosen"].rstrip("\n") in LINES and row["rejected"].rstrip("\n") not in LINES
        assert row["prompt"].count("\n") == 8 and row["file"] == "steps.py"


def test_a_share_is_a_part_of_all_and_always_the_same():
    everything, some = (TokenPairsConfig(share=share).pairs([FILE]) for share in (1.0, 0.5))
    assert len(everything) == 25 and 4 < len(some) < 21
    assert [row for row in everything if row in some] == some == TokenPairsConfig(share=0.5).pairs([FILE])


def test_its_records_have_the_key_of_their_file_and_no_picture(monkeypatch):
    source = TokenPairsConfig(max_characters=20).build()
    monkeypatch.setattr(source.library, "documents", lambda: iter([FILE]))
    documents = list(source.documents())
    assert len(documents) == 25 and len({document.key for document in documents}) == 1
    for document in documents:
        assert document.key and document.picture is None and len(document.record["prompt"]) == 20


@pytest.mark.parametrize("share", [0.0, 1.1])
def test_what_is_no_share(share):
    with pytest.raises(ConfigError, match="is no share"):
        TokenPairsConfig(share=share)
