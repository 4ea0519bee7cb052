"""What is made of a Python file, by hand: functions, sessions, prose, pairs."""

import ast

from prospero.data.document import Document
from prospero.data.embedded.functions import summaries
from prospero.data.embedded.prose import beginnings, sentences
from prospero.data.embedded.sessions import sessions
from prospero.evaluation.tasks.embedded.pairs import token_pairs
from prospero.evaluation.tasks.embedded.pinned import pinned, place_of

CODE = '''
class Box:
    def area(self, width, height):
        """
        Return the area of the box.  

        >>> Box().area(2, 3)
        6
        >>> box = Box()
        >>> for n in range(2):
        ...     print(box.area(n, n))
        0
        1
        >>> 1 / 0
        Traceback (most recent call last):
        ZeroDivisionError: division by zero
        """
        # what the box covers
        surface = width * height
        return surface

    def tiny(self):
        """Return nothing at all of any use."""
        return None

    def cut(self, width, height):
        """Return the area of the box, and a sentence
        that goes on in the next line."""
        surface = width * height
        return surface

    def undocumented(self, width, height):
        surface = width * height
        return surface
'''
FILE = Document(text=CODE, id="box.py", source="box")


def test_a_function_without_its_docstring():
    (row,) = summaries([FILE])
    assert row == {
        "source": "def area(self, width, height):\n    # what the box covers\n    surface = width * height\n"
        "    return surface",
        "name": "area",
        "summary": "Return the area of the box.",
        "file": "box.py",
    }


def test_sessions_turn_by_turn():
    first, second = sessions([FILE])
    assert first == {"session": ">>> Box().area(2, 3)\n", "answer": "6", "file": "box.py"}
    assert second["session"] == (
        ">>> Box().area(2, 3)\n6\n>>> box = Box()\n>>> for n in range(2):\n...     print(box.area(n, n))\n"
    )
    assert second["answer"] == "0\n1"  # and none of the error, which is not answered with a value


def test_what_cannot_be_parsed_gives_nothing():
    broken = Document(text="def f(:\n  >>> 1\n", id="broken.py", source="broken")
    for make in (summaries, sessions, beginnings, sentences, token_pairs):
        assert make([broken]) == []
        assert make([]) == []


def test_prose_is_cut_at_the_ends_of_words():
    words = " ".join(["Prose of words alone is what this is."] * 30)
    rows = beginnings([Document(text=words, id="topics#prose", source="docs")])
    assert len(rows) == 2
    for row in rows:
        assert 200 < len(row["beginning"]) <= 240 and row["beginning"] + row["continuation"] in words
        assert row["continuation"][0] == " " and not row["continuation"].endswith(" ")
        assert (words + " ").index(row["beginning"] + row["continuation"] + " ") >= 0
    code = "x = {1: [2, 3], 4: (5,)}\n" * 40
    assert beginnings([Document(text=code, id="topics#code", source="docs")]) == []


def test_sentences_end_with_a_plain_word():
    text = (
        "Raised when an operation or function is applied to an object of\ninappropriate type. Short one. Never ask for "
        "the last word of what ends in Upper Case Names as this does Here. Is this a question of many words?\n"
    )
    rows = sentences([Document(text=text, id="topics#x", source="docs")])
    assert [row["text"] for row in rows] == [
        "Raised when an operation or function is applied to an object of inappropriate type"
    ]


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
