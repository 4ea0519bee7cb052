"""The check of an evaluation's items against training text: which texts are read, and that it is done once."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest
from tests.data.shard_making import sentences, settings, write_corpus

from prospero.commands import contamination_check
from prospero.commands.contamination_check import contaminations
from prospero.data.prepare import prepare
from prospero.evaluation.contamination import item_texts
from prospero.evaluation.measurement import Measured, Measurement, Outcome, Quantity, Subject

PLANTED = "This sentence of the evaluation set stands in the training text too, word for word."
OTHER = "Of this one nobody has ever heard, and no training text that we know of holds it."


@dataclass
class Place:
    """What is asked of an opened model."""

    data_fingerprint: str | None
    trained_before: list[str | None] = field(default_factory=list)


class Two(Measurement):
    """A task of two items."""

    name = "two"

    @property
    def quantities(self) -> list[Quantity]:
        return [Quantity(name="accuracy")]

    @property
    def size(self) -> int:
        return 2

    def outcomes(self, subject: Subject | None, items: Sequence[int]) -> Iterator[Outcome]:
        records = ({"prompt": PLANTED[:40], "references": [PLANTED[40:]]}, {"prompt": OTHER})
        yield from (Outcome(item, {"accuracy": [1.0, 1.0]}, records[item]) for item in items)


@pytest.fixture
def found():
    return Measured(Two(), list(Two().outcomes(None, [0, 1])))


def test_every_training_text_that_is_here_is_looked_through_once(tmp_path, found, monkeypatch):
    prepared = [
        prepare(settings(write_corpus(tmp_path / name, [*sentences(100), *more]), tmp_path), progress=False)
        for name, more in (("a", [f"{PLANTED} {n}" for n in range(5)]), ("b", []))
    ]
    place = Place(prepared[0].fingerprint, [prepared[1].fingerprint, None])
    results, made_with = tmp_path / "results.json", {"two": "m"}
    facts = contaminations([found], place, str(tmp_path), results, made_with)["two"]
    assert [(one["data"], one["first_contained"]) for one in facts] == [
        (prepared[1].fingerprint, []),
        (prepared[0].fingerprint, [0]),
    ]
    results.write_text(json.dumps({"tasks": {"two": {"made_with": "m", "contamination": facts}}}))
    asked: list[object] = []
    with monkeypatch.context() as patch:
        patch.setattr(contamination_check, "contamination", lambda *what: asked.append(what))
        assert contaminations([found], place, str(tmp_path), results, made_with)["two"] == facts and not asked
    results.write_text(results.read_text().replace('"first_contained": [0]', '"first_contained": [7]'))
    again = contaminations([found], place, str(tmp_path), results, {"two": "of another model"})["two"]
    assert again == facts  # computed anew, for the earlier ones were of something else


def test_without_training_text_or_texts_nothing_is_said(tmp_path, found):
    assert contaminations([found], Place(None), str(tmp_path), tmp_path / "none", {}) == {}
    assert item_texts(found) == {0: PLANTED, 1: OTHER}
