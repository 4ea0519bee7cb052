"""Embedded records are made of what the run did not train on, and say so where that cannot be known."""

import json

import pytest

from prospero.data.canaries import CanariesConfig
from prospero.data.cleaning.white_space import WhiteSpaceConfig
from prospero.data.dedup.exact import ExactDedupConfig
from prospero.data.dedup.paragraphs import ParagraphsDedupConfig
from prospero.data.prepare import prepare
from prospero.data.receipt import digest
from prospero.data.rendering.prompt_response import PromptResponseConfig
from prospero.data.settings import PrepareConfig
from prospero.data.sources.files import FilesConfig
from prospero.data.sources.passages import PassagesConfig
from prospero.data.sources.stdlib import StdlibConfig, language_topics, stdlib_files
from prospero.data.split import HashSplitConfig, TailSplitConfig
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.evaluation.tasks.embedded import documents
from prospero.evaluation.tasks.embedded.documents import unseen_documents

pytestmark = pytest.mark.heavy


def prepared(tmp_path, **settings):
    usual = {
        "data": StdlibConfig(sources=False),
        "split": HashSplitConfig(val_fraction=0.2),
        "dedup": ExactDedupConfig(),
    }
    settings = usual | settings
    config = PrepareConfig(
        cleaning={"white_space": WhiteSpaceConfig()},
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


def test_planted_canaries_do_not_hide_what_was_held_out(tmp_path):
    canaries = CanariesConfig(count=2, copies=3)
    data = prepared(tmp_path, data=StdlibConfig(sources=False, canaries=canaries))
    found = unseen_documents(data.directory)
    assert found == unseen_documents(prepared(tmp_path).directory)
    assert found.facts["contamination"] == "held out from the data of this run"


def test_a_document_whose_paragraphs_stand_in_another_one_counts_as_trained_on(tmp_path):
    data = prepared(tmp_path, dedup=ParagraphsDedupConfig(min_characters=10))
    assert data.receipt["dedup"]["documents_shortened"] > 0
    whole = {WhiteSpaceConfig().build()(document.text) for document in StdlibConfig(sources=False).build().documents()}
    found = unseen_documents(data.directory)
    topics = {WhiteSpaceConfig().build()(document.text) for document in found.documents if "#" in document.id}
    assert topics == held_out_texts(data) & whole != held_out_texts(data)
    assert found.facts["contamination"] == "held out from the data of this run"


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


@pytest.fixture
def topics_alone(monkeypatch):
    """The library without its sources, which take long to read."""
    monkeypatch.setattr("prospero.data.sources.stdlib.stdlib_files", list)
    documents._library.cache_clear()
    yield
    documents._library.cache_clear()


def passages(tmp_path, **settings):
    rendering = PromptResponseConfig(prompt="{beginning}", response="{continuation}")
    return prepared(tmp_path, data=PassagesConfig(), rendering=rendering, **settings)


def held_out_files(data) -> tuple[set[str], set[str]]:
    """The files whose passages were held out, and those that were trained on, by the tokens of the examples."""
    rows, clean = [one.record for one in PassagesConfig().build().documents()], WhiteSpaceConfig().build()
    files = {clean(row["beginning"]) + clean(row["continuation"]): row["file"] for row in rows}
    held_out = {files[text] for text in held_out_texts(data)}
    return held_out, set(files.values()) - held_out


def test_examples_hold_out_the_files_that_none_of_them_was_cut_from(tmp_path, topics_alone):
    data = passages(tmp_path)
    unseen = {document.id for document in unseen_documents(data.directory).documents}
    held_out, trained = held_out_files(data)
    assert len(held_out) > 5 and len(trained) > 20
    assert held_out <= unseen and not unseen & trained


def test_what_any_model_of_a_chain_has_seen_is_not_asked_for(tmp_path, topics_alone):
    base, fine = prepared(tmp_path, split=TailSplitConfig(val_fraction=0.5)), passages(tmp_path)
    of_base, alone, chain = (
        {document.id for document in unseen_documents(*folders).documents}
        for folders in ([base.directory], [fine.directory], [fine.directory, [base.directory]])
    )
    assert chain == of_base & alone and len(chain) < len(of_base) and len(chain) < len(alone)
    facts = unseen_documents(fine.directory, [base.directory]).facts
    assert facts["contamination"] == "held out from the data of this run, and of those that it began from"
    unknown = unseen_documents(fine.directory, [None]).facts["contamination"]
    assert unknown == "may have been trained on: what the model was trained on is not known here"


def test_fine_tuning_holds_out_what_the_base_held_out(tmp_path, topics_alone):
    base, fine = prepared(tmp_path), passages(tmp_path)
    of_base = unseen_documents(base.directory).documents
    assert unseen_documents(fine.directory, [base.directory]).documents == of_base
