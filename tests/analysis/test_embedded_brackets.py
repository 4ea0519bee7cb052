"""Pairs of prompts made of brackets in Python."""

from prospero.analysis.embedded_brackets import bracket_pairs
from prospero.data.document import Document

SOURCE = """
def first(x):
    value = table[name, x]
    return call(one, two, [three, four])
    other = {key: (a + b)}
    x(y)
"""


def test_pairs_of_a_file():
    pairs = bracket_pairs([Document(text=SOURCE, id="file.py")])
    found = [(pair["clean"], pair["corrupted"], pair["answer"], pair["wrong"]) for pair in pairs]
    assert found == [
        ("value = table[name, x", "value = table(name, x", "]", ")"),
        ("return call(one, two, [three, four", "return call(one, two, (three, four", "]", ")"),
        ("other = {key: (a + b", "other = {key: [a + b", ")", "]"),
    ]


def test_what_is_no_python_has_none():
    assert bracket_pairs([Document(text="def broken((:\n  'open", id="x.txt")]) == []
