"""What all rules of quality share: they travel to other processes, and a text that passes is the same object."""

import importlib
import pickle

import pytest

from prospero.registry import PARTS

PROSE = "\n".join(
    f"It was {number} in the {word} of that year, and we have seen with our own eyes what there was to be seen."
    for number, word in enumerate(["spring", "summer", "autumn", "winter", "morning", "evening"])
)


@pytest.mark.parametrize("name", ["gopher", "c4", "fineweb", "dolma", "source_code", "pii", "language", "repetition"])
def test_prose_passes_each_rule_as_the_same_object_in_any_process(name):
    if name == "language":
        pytest.importorskip("py3langid", reason="needs the extra language")
    module, _, settings = PARTS["cleaning"][name].partition(":")
    config = getattr(importlib.import_module(module), settings)
    step = (config(n_grams=False) if name in ("dolma", "repetition") else config()).build()
    assert step(PROSE) is PROSE
    assert pickle.loads(pickle.dumps(step))(PROSE) is PROSE


@pytest.mark.parametrize("name", ["gopher", "c4", "fineweb", "dolma", "source_code", "pii", "repetition"])
def test_an_empty_text_is_no_mistake(name):
    module, _, settings = PARTS["cleaning"][name].partition(":")
    step = getattr(importlib.import_module(module), settings)().build()
    assert all(step(text) is not None for text in ("", " \n ", "#", "…"))
