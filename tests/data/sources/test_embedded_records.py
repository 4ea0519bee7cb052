"""Records of the library as examples: what each source yields, and that all of a file stays in one split."""

import pytest

from prospero.data.document import Document
from prospero.data.sources.embedded_records import EmbeddedRecords, EmbeddedRecordsConfig
from prospero.data.sources.function_bodies import FunctionBodiesConfig
from prospero.data.sources.function_summaries import FunctionSummariesConfig
from prospero.data.sources.passages import PassagesConfig
from prospero.data.sources.sessions import SessionsConfig
from prospero.data.split import CorpusSize, HashSplitConfig
from prospero.errors import ConfigError

LONG = "x" * 900


class Library:
    """Three documents in place of the standard library."""

    def __init__(self) -> None:
        self.notes = {}

    def documents(self):
        for name in ("a.py", "b.py", "c.py"):
            yield Document(text=f"the text of {name}\n", id=name, source=name[0])

    def identity(self):
        return {"source": "stdlib", "python": "3"}

    def describe(self):
        return "three files"


def make(documents):
    (document,) = documents
    return [{"read": f"{n}{LONG}", "file": document.id} for n in range(2)] if document.id != "b.py" else []


@pytest.fixture
def source(monkeypatch):
    monkeypatch.setattr("prospero.data.sources.stdlib.StdlibConfig.build", lambda config: Library())
    return lambda keep: EmbeddedRecords("made_up", make, "read", keep)


def test_each_record_has_its_place_and_the_key_of_its_file(source):
    found = list(source(slice(None, 5)).documents())
    assert [document.id for document in found] == [
        "a.py, record 1",
        "a.py, record 2",
        "c.py, record 1",
        "c.py, record 2",
    ]
    assert [document.record for document in found[:2]] == [
        {"read": "0xxxx", "file": "a.py"},
        {"read": "1xxxx", "file": "a.py"},
    ]
    assert found[0].key == found[1].key != found[2].key and {document.text for document in found} == {""}
    rule, size = HashSplitConfig(val_fraction=0.5).build(), CorpusSize()
    for document in found:
        (piece,) = rule.pieces(str(document.key), 0, size)
        (of_file,) = rule.pieces(f"the text of {document.id[:4]}\n", 0, size)
        assert piece.split == of_file.split


def test_what_is_kept_of_a_long_text_is_part_of_its_identity(source):
    first, end = source(slice(None, 5)), source(slice(-5, None))
    assert [str(document.record["read"]) for document in end.documents()][:1] == ["xxxxx"]
    assert first.identity() != end.identity() and first.identity()["source"] == "made_up"
    assert first.describe() == "made up of three files" and first.size_bytes() is None


@pytest.mark.parametrize(
    ("config", "fields", "keep"),
    [
        (FunctionSummariesConfig, {"source", "name", "summary", "file"}, slice(None, 600)),
        (FunctionBodiesConfig, {"head", "body", "name", "file"}, slice(-600, None)),
        (SessionsConfig, {"session", "answer", "file"}, slice(-600, None)),
        (PassagesConfig, {"beginning", "continuation", "file"}, slice(-600, None)),
    ],
)
def test_the_sources_of_this_python(config, fields, keep):
    source = config().build()
    first = next(iter(source.documents()))
    assert first.record.keys() == fields and source.read in fields and source.keep == keep
    assert 0 < len(first.record[source.read]) <= 600


def test_nothing_to_read_is_refused():
    with pytest.raises(ConfigError, match="max_characters=0"):
        EmbeddedRecordsConfig(max_characters=0)
