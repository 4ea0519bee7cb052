"""Turns of the sessions in a file, by hand."""

from prospero.data.document import Document
from prospero.data.embedded.sessions import sessions
from prospero.data.rendering.chat_template import PYTHON_PROMPT, ChatTemplate
from tests.data.embedded.code_file import FILE


def test_sessions_turn_by_turn():
    first, second = sessions([FILE])
    assert first == {"session": ">>> Box().area(2, 3)\n", "answer": "6", "file": "box.py"}
    assert second["session"] == (
        ">>> Box().area(2, 3)\n6\n>>> box = Box()\n>>> for n in range(2):\n...     print(box.area(n, n))\n"
    )
    assert second["answer"] == "0\n1"  # and none of the error, which is not answered with a value


def test_what_cannot_be_parsed_gives_nothing():
    broken = Document(text="def f(:\n  >>> 1\n", id="broken.py", source="broken")
    for make in (sessions,):
        assert make([broken]) == make([]) == []


def test_a_chat_asks_word_for_word_as_a_session_does():
    _, second = sessions([FILE])
    turns = [
        ("user", "Box().area(2, 3)"),
        ("assistant", "6"),
        ("user", "box = Box()"),
        ("user", "for n in range(2):\n    print(box.area(n, n))"),
    ]
    template = ChatTemplate(PYTHON_PROMPT)
    spans = template.prompt([{"role": role, "content": text} for role, text in turns])
    assert "".join(span.text for span in spans) == second["session"]
