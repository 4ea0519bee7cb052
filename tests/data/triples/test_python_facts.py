"""The embedded set: facts of a small module by hand, names that mean one thing, the same whenever it is made."""

import ast
from collections import Counter

import pytest

from prospero.data.triples.python_facts import facts_of, first_sentence, python_facts
from prospero.data.triples.triple import Triple, Triples

SHAPES = '''"""Shapes of all kinds, and what they measure. More of it."""
LARGEST = 3
class Circle(base.Shape):
    def area(self, precision, mode="fast"): ...
    @staticmethod
    def unit(scale=2): ...
    def __len__(self): ...
class ShapeError(ValueError): ...
def draw(canvas, width=None): ...
def shared(a): ...
'''
OTHER = "def shared(b): ...\nclass _Hidden:\n    def secret(self, x): ...\n"


def facts(**modules):
    return set(facts_of((name, ast.parse(source)) for name, source in modules.items()))


def test_facts_of_a_module_by_hand():
    assert facts(shapes=SHAPES, other=OTHER) == {
        Triple("LARGEST", "constant of", "shapes"),
        Triple("Circle", "defined in", "shapes"),
        Triple("Circle", "derived from", "Shape"),
        Triple("area", "method of", "Circle"),
        Triple("area", "first parameter", "precision"),
        Triple("area", "default", "'fast'"),
        Triple("unit", "method of", "Circle"),
        Triple("unit", "first parameter", "scale"),
        Triple("unit", "default", "2"),
        Triple("ShapeError", "defined in", "shapes"),
        Triple("ShapeError", "derived from", "ValueError"),
        Triple("draw", "defined in", "shapes"),
        Triple("draw", "first parameter", "canvas"),
        Triple("shapes", "documented as", "Shapes of all kinds, and what they measure"),
    }


def test_a_private_module_says_nothing():
    assert facts(_shapes=SHAPES) == set()


def test_first_sentence():
    assert first_sentence("\n  One\n  line. Two.\n\nNext") == "One line"


@pytest.mark.heavy
def test_the_set_of_the_running_python_is_the_same_each_time_and_unambiguous():
    first, again = (Triples(python_facts(Counter())) for _ in range(2))
    assert list(first) == list(again) and len(first) > 3000 and len(first.relations) == 7
    assert all(len(objects) == 1 for objects in first.answers.values()), "one answer to each question"
    homes = Counter(triple.subject for triple in first if triple.relation in ("defined in", "method of", "constant of"))
    assert max(homes.values()) == 1, "a name is defined once"
