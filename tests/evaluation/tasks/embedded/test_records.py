"""Pairs made of a Python file, by hand, and which of many records are taken."""

import ast

from prospero.data.document import Document
from prospero.data.embedded.pairs import token_pairs
from prospero.data.embedded.places import place_of
from prospero.evaluation.tasks.embedded.pinned import pinned


def test_what_cannot_be_parsed_gives_nothing():
    assert token_pairs([Document(text="def f(:\n  >>> 1\n", id="broken.py", source="broken")]) == token_pairs([]) == []


def test_pairs_differ_in_one_token():
    lines = [f"value_{n} = compute(first[{n}], second)  # step" for n in range(40)]
    rows = token_pairs([Document(text="\n".join(lines) + "\n", id="steps.py", source="steps")])
    assert len(rows) == 4 and {row["answer"] for row in rows} <= {0, 1}
    for row in rows:
        right, wrong = row["choices"][row["answer"]], row["choices"][1 - row["answer"]]
        number = lines.index(right.removesuffix("\n"))
        assert row["context"] == "\n".join(lines[number - 8 : number]) + "\n"
        ast.parse(right)
        start = next(place for place in range(len(right)) if right[place] != wrong[place])
        assert wrong.endswith("# step\n") and wrong[:start] == right[:start]


def test_the_same_records_are_pinned_everywhere():
    rows = [{"n": n} for n in range(100)] + [{"n": 3}]
    few = pinned(rows, 5)
    assert few == [{"n": 10}, {"n": 27}, {"n": 34}, {"n": 78}, {"n": 98}]
    assert pinned(rows, 1000) == rows[:100]  # each once
    assert set(map(str, few)) <= set(map(str, pinned(rows[::-1], 6)))  # whatever their order
    assert place_of({"b": 1, "a": "é"}) == place_of({"a": "é", "b": 1}) != place_of({"a": "e", "b": 1})
