"""Embedded records are made of what the run did not train on, and say so where that cannot be known."""

import json

import pytest

from prospero.data.cleaning.white_space import WhiteSpaceConfig
from prospero.data.dedup.exact import ExactDedupConfig
from prospero.data.prepare import prepare
from prospero.data.receipt import digest
from prospero.data.settings import PrepareConfig
from prospero.data.sources.files import FilesConfig
from prospero.data.sources.stdlib import StdlibConfig, language_topics, stdlib_files
from prospero.data.split import HashSplitConfig, TailSplitConfig
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.evaluation.tasks.embedded.documents import unseen_documents

pytestmark = pytest.mark.heavy


def prepared(tmp_path, **settings):
    settings = {"data": StdlibConfig(sources=False), "split": HashSplitConfig(val_fraction=0.2)} | settings
    config = PrepareConfig(
        cleaning={"white_space": WhiteSpaceConfig()},
        dedup=ExactDedupConfig(),
        tokenizer=ByteTokenizerConfig(),
        outputs_dir=str(tmp_path),
        **settings,
    )
    return prepare(config, progress=False)


def held_out_texts(data) -> set[str]:
    """The documents of val and test, by their tokens."""
    found = set()
    for split in ("val", "test"):
        shards, start = data.splits[split], 1
        for end in shards.document_ends.tolist():
            found.add(data.tokenizer.decode(shards.tokens(start, end - 1)))
            start = end
    return found


def test_what_a_run_held_out_is_what_its_token_files_hold(tmp_path):
    data = prepared(tmp_path)
    found = unseen_documents(data.directory)
    assert found.facts["contamination"] == "held out from the data of this run"
    topics = [document for document in found.documents if "#" in document.id]
    assert {WhiteSpaceConfig().build()(document.text) for document in topics} == held_out_texts(data)
    assert 0 < len(topics) < len(language_topics()) / 2
    assert len(found.documents) - len(topics) == len([file for file in stdlib_files() if file.size])  # never read
    assert found.facts["records"] == f"{len(found.documents)} documents of the standard library"


def test_a_split_by_position_holds_out_whole_documents_alone(tmp_path):
    data = prepared(tmp_path, split=TailSplitConfig(val_fraction=0.3))
    topics = [document.id for document in unseen_documents(data.directory).documents if "#" in document.id]
    ordered = sorted(f"pydoc_data/topics#{name}" for name in language_topics())
    assert topics == ordered[-len(topics) :] and len(topics) == data.splits["val"].n_documents - 1  # one was cut


def test_where_nothing_is_known_the_default_split_decides_and_the_facts_say_so(tmp_path):
    unknown = unseen_documents(None)
    assert unknown.facts["contamination"] == (
        "may have been trained on: what the model was trained on is not known here"
    )
    rule = HashSplitConfig().build()
    assert all(next(rule.pieces(one.text, 0, None)).split != "train" for one in unknown.documents)
    (tmp_path / "own.txt").write_text("of my own\n" * 500)
    data = prepared(tmp_path, data=FilesConfig(path=str(tmp_path / "own.txt")), split=TailSplitConfig())
    other = unseen_documents(data.directory)
    assert other.documents == unknown.documents
    assert other.facts["contamination"] == (
        f"may have been trained on: the model was trained on {data.receipt['source']['description']}"
    )


def test_the_library_of_another_python_is_not_known(tmp_path):
    data = prepared(tmp_path)
    receipt = json.loads((data.directory / "receipt.json").read_text())
    receipt.pop("digest")
    receipt["splits"]["train"]["characters"] += 1
    receipt["fingerprint"] = "0" * 32
    text = json.dumps(receipt | {"digest": digest(receipt)}, indent=2, ensure_ascii=False) + "\n"
    (data.directory / "receipt.json").write_text(text)
    assert unseen_documents(data.directory).facts["contamination"].startswith("may have been trained on")
