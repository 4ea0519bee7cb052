"""What inspection says of a corpus: the counts of a preparation, and a fair sample of what each step changed."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from prospero.data.cleaning.length import LengthConfig
from prospero.data.cleaning.lower_case import LowerCaseConfig
from prospero.data.document import Document
from prospero.data.inspection import Inspection, Sample, inspect_cleaning
from prospero.data.rendering.prompt_response import PromptResponseConfig
from prospero.errors import DataError


class Listed:
    """A source of given documents, which counts those that are read."""

    def __init__(self, documents: list[Document]) -> None:
        self.all, self.notes, self.read = documents, Counter[str](), 0

    def documents(self) -> Iterator[Document]:
        for document in self.all:
            self.read += 1
            yield document

    def identity(self) -> dict[str, Any]:
        return {}

    def describe(self) -> str:
        return "a list"

    def size_bytes(self) -> int | None:
        return None


def texts(*given: str) -> Listed:
    return Listed([Document(text, f"{number}.txt") for number, text in enumerate(given)])


def inspected(source: Listed, **changes: Any) -> Inspection:
    cleaning = {"lower_case": LowerCaseConfig(), "length": LengthConfig(min_characters=3)}
    chosen: dict[str, Any] = {"n": 2, "examples": 1, "seed": 0, "limit": None, "rendering": None}
    rendering = (chosen := chosen | changes).pop("rendering")
    return inspect_cleaning(source, cleaning, rendering, **chosen)


def test_counts_are_those_of_the_pipeline_and_the_changed_are_named():
    found = inspected(texts("Abc", "abc", "AB", "ab", "   ", "xyz"))
    assert (found.read, found.all_read, found.report["kept"]) == (6, True, 3)
    assert found.report["changed"] == {"lower_case": 2}
    rows = [(row["step"], row["reason"], row["documents"], row["examples"]) for row in found.report["dropped"]]
    assert rows == [
        ("end", "empty", 1, [{"id": "4.txt", "text": "   "}]),
        ("length", "too few characters", 2, [{"id": "2.txt", "text": "ab"}]),
    ]
    assert [change.document_id for change in found.changes["lower_case"]] == ["0.txt", "2.txt"]
    assert found.changes["length"] == []


def test_the_sample_depends_on_the_seed_alone_and_is_in_order():
    source = [f"Text {number}" for number in range(200)]
    samples = [
        [change.document_id for change in inspected(texts(*source), n=5, seed=seed).changes["lower_case"]]
        for seed in (0, 0, 1)
    ]
    assert samples[0] == samples[1] != samples[2]
    assert [int(name.removesuffix(".txt")) for name in samples[0]] == sorted(int(n[:-4]) for n in samples[0])
    assert len(set(samples[0])) == 5


def test_every_item_has_the_same_chance():
    taken = Counter[int]()
    for seed in range(3000):
        sample = Sample[int](2, seed)
        for item in range(6):
            sample.offer(lambda item=item: item)
        taken.update(sample.items)
    assert all(900 < taken[item] < 1100 for item in range(6))  # 1000 expected, spread 26


def test_an_item_that_is_not_taken_is_not_made():
    sample, made = Sample[int](0, 0), []
    sample.offer(lambda: made.append(1) or 1)
    assert sample.items == [] and made == []


@pytest.mark.parametrize(("limit", "read", "all_read"), [(2, 2, False), (3, 3, True), (4, 3, True), (None, 3, True)])
def test_only_the_first_documents_are_read(limit, read, all_read):
    source = texts("One", "Two", "Three")
    found = inspected(source, limit=limit)
    assert (found.read, found.all_read) == (read, all_read)
    assert source.read <= read + 1


def test_texts_of_records_are_cleaned_by_the_rendering():
    rows = [Document("", "r#1", record={"prompt": "Say YES", "response": "YES"})]
    rendering = PromptResponseConfig().build()
    found = inspected(Listed(rows), rendering=rendering)
    assert {change.document_id for change in found.changes["lower_case"]} == {"r#1"}
    with pytest.raises(DataError, match="r#1 is a record with the fields prompt, response"):
        inspected(Listed(rows))


def test_a_corpus_of_nothing():
    with pytest.raises(DataError, match="there is no text in a list"):
        inspected(texts())
