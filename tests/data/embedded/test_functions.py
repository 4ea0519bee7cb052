"""What is made of the functions of a file, by hand."""

from prospero.data.document import Document
from prospero.data.embedded.functions import bodies, summaries
from tests.data.embedded.code_file import FILE


def test_a_function_without_its_docstring():
    (row,) = summaries([FILE])
    assert row == {
        "source": "def area(self, width, height):\n    # what the box covers\n    surface = width * height\n"
        "    return surface",
        "name": "area",
        "summary": "Return the area of the box.",
        "file": "box.py",
    }


def test_a_function_and_its_body():
    area, cut = bodies([FILE])
    assert area["head"].startswith('def area(self, width, height):\n    """\n    Return the area of the box.  \n')
    assert area["head"].endswith('ZeroDivisionError: division by zero\n    """\n')
    assert area["body"] == "    # what the box covers\n    surface = width * height\n    return surface\n"
    assert (area["name"], area["file"], cut["name"]) == ("area", "box.py", "cut")  # `tiny` is too short to be asked


def test_functions_that_the_task_code_asks_for_are_left_out():
    asked = FILE.text.replace("class Box:", "class Heap:").replace("def cut(", "def merge(")
    assert [row["name"] for row in bodies([Document(text=asked, id="heapq.py", source="heapq")])] == ["area"]
    assert [row["name"] for row in bodies([Document(text=asked, id="other.py", source="other")])] == ["area", "merge"]


def test_what_cannot_be_parsed_gives_nothing():
    broken = Document(text="def f(:\n  >>> 1\n", id="broken.py", source="broken")
    for make in (bodies, summaries):
        assert make([broken]) == make([]) == []
