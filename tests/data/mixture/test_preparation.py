"""Parts become one corpus: the same documents under their names, one tokenizer, found again, and mistakes named."""

import pickle
from typing import Any

import numpy as np
import pytest

from prospero.data.describe import describe
from prospero.data.mixture.joining import parts_of
from prospero.data.mixture.preparation import prepare
from prospero.data.mixture.settings import MixtureConfig
from prospero.data.mixture.training import training_packing
from prospero.data.packing.best_fit import BestFitPackingConfig
from prospero.data.packing.concat import ConcatPackingConfig
from prospero.data.prepare import find_prepared, open_prepared
from prospero.data.sources.files import FilesConfig
from prospero.data.split import TailSplitConfig
from prospero.data.tokenizer.bpe import BPETokenizerConfig
from prospero.errors import ConfigError, DataError
from tests.data.mixture.corpora import mixed, parts
from tests.data.shard_making import settings


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("mixture")


@pytest.fixture(scope="module")
def both(folder):
    return prepare(mixed(folder), progress=False)


@pytest.fixture(scope="module")
def alone(folder):
    return {part.name: prepare(settings(folder, folder, data=part.settings), progress=False) for part in parts(folder)}


def texts(prepared, shards):
    starts = np.concatenate([[1], shards.document_ends[:-1]]).astype(int).tolist()
    return [prepared.tokenizer.decode(shards.tokens(*pair)) for pair in zip(starts, shards.document_ends.tolist())]


def test_the_documents_are_those_of_the_parts_in_their_order(both, alone):
    for split in ("train", "val", "test"):
        expected = [text for corpus in alone.values() for text in texts(corpus, corpus.splits[split])]
        assert texts(both, both.splits[split]) == expected
        sources = [k for k, corpus in enumerate(alone.values()) for _ in range(corpus.splits[split].n_documents)]
        assert both.splits[split].document_sources.tolist() == sources
        for name in ("documents", "bytes", "characters"):
            assert both.receipt["splits"][split][name] == sum(
                corpus.receipt["splits"][split][name] for corpus in alone.values()
            )
    assert both.receipt["sources"] == ["few", "many"]
    both.verify()


def test_a_part_of_the_joined_corpus_is_the_corpus_itself(both, alone):
    for part, corpus in zip(parts_of(both.splits["train"], both.receipt, "train"), alone.values()):
        own = corpus.splits["train"]
        for shards in (part, pickle.loads(pickle.dumps(part))):
            assert shards.all_tokens.tolist() == own.all_tokens.tolist()
            assert shards.document_ends.tolist() == own.document_ends.tolist()
            counted = ("n_tokens", "n_documents", "n_bytes", "n_characters")
            assert [getattr(shards, name) for name in counted] == [getattr(own, name) for name in counted]


@pytest.mark.parametrize("packing", [ConcatPackingConfig(), BestFitPackingConfig()], ids=["concat", "best_fit"])
def test_sequences_are_those_of_the_parts(both, alone, packing):
    made = training_packing(both, packing, 64)
    few, many = (packing.build(corpus.splits["train"], 64) for corpus in alone.values())
    assert len(made) == len(few) + len(many)
    indices = np.array([len(few), 0, len(made) - 1, len(few) - 1])
    rows, expected = (
        made.read(indices),
        [many.read([0]), few.read([0]), many.read([-1 % len(many)]), few.read([len(few) - 1])],
    )
    for name, array in rows.items():
        assert array.tolist() == np.concatenate([one[name] for one in expected]).tolist()
    assert made.target_counts(indices).tolist() == [
        int(part.target_counts(np.array([i]))[0])
        for part, i in ((many, 0), (few, 0), (many, len(many) - 1), (few, len(few) - 1))
    ]
    assert [set(row) for row in made.source_ids(indices).tolist()] == [{1}, {0}, {1}, {0}]
    shift = alone["few"].splits["train"].n_documents
    found = sorted([*few.documents(np.array([0])), *(many.documents(np.array([0])) + shift)])
    assert made.documents(np.array([len(few), 0])).tolist() == found


def test_it_is_found_again_whatever_the_weights(folder, both, caplog):
    again = prepare(mixed(folder, of={"few": {"weight": 9.0, "max_epochs": 2.0}}), progress=False)
    assert (again.directory, again.fingerprint) == (both.directory, both.fingerprint)
    assert again.mixture is not None
    assert again.mixture.stages == ((0, (9.0, 3.0)),)
    assert find_prepared(folder / "data", both.fingerprint) == both.directory
    assert open_prepared(both.directory).mixture is None


def test_other_parts_are_another_corpus(folder, both):
    renamed = prepare(mixed(folder, of={"few": {"name": "little"}}), progress=False)
    assert renamed.fingerprint != both.fingerprint
    assert renamed.receipt["sources"] == ["little", "many"]


def test_a_document_that_a_split_cut_gets_its_separator(tmp_path):
    (tmp_path / "one.txt").write_text("word " * 400)
    of = {name: {"settings": FilesConfig(path=str(tmp_path / "one.txt"))} for name in ("few", "many")}
    made = prepare(mixed(tmp_path, of=of, split=TailSplitConfig()), progress=False)
    train, eot = made.splits["train"], made.tokenizer.eot_id
    assert train.n_documents == 2
    assert [int(train.all_tokens[end - 1]) for end in train.document_ends.tolist()] == [eot, eot]
    assert texts(made, train)[0] == texts(made, train)[1]


def test_one_tokenizer_is_learnt_on_all_parts_by_their_shares(tmp_path):
    for name, word in (("few", "aaaa "), ("many", "bbbb ")):
        (tmp_path / f"{name}.txt").write_text("\n".join(f"{word}{n}" for n in range(3000)))
    of: dict[str, dict[str, Any]] = {
        n: {"settings": FilesConfig(path=str(tmp_path / f"{n}.txt"))} for n in ("few", "many")
    }
    bpe = {"tokenizer": BPETokenizerConfig(vocab_size=260), "split": TailSplitConfig()}
    prefers = {}
    for weight in (1.0, 9.0):
        of["few"]["weight"] = weight
        made = prepare(mixed(tmp_path, of=of, **bpe), progress=False)
        prefers[weight] = [len(made.tokenizer.encode(text)) for text in ("aaaa", "bbbb")]
        assert made.receipt["settings"]["tokenizer_shares"] == {"few": weight / (weight + 3), "many": 3 / (weight + 3)}
        assert prepare(mixed(tmp_path, of=of, **bpe), progress=False).directory == made.directory
        assert not list(made.directory.glob("bytes"))
    assert prefers[1.0][0] > prefers[1.0][1]
    assert prefers[9.0][0] < prefers[9.0][1]


def test_a_mistake_in_a_part_names_it(tmp_path):
    with pytest.raises(DataError, match=r"^data.parts, 'many': .*nowhere does not exist"):
        prepare(mixed(tmp_path, of={"many": {"settings": FilesConfig(path=str(tmp_path / "nowhere"))}}), progress=False)


def test_without_parts_there_is_nothing_to_mix(tmp_path):
    with pytest.raises(
        ConfigError, match=r"data=mixture needs parts: give data.parts=\[{data: stdlib, weight: 1}, ...\]"
    ):
        prepare(settings(tmp_path, tmp_path, data=MixtureConfig()), progress=False)
    assert not (tmp_path / "data").exists()


def test_what_reads_one_source_refuses(tmp_path):
    with pytest.raises(ConfigError, match="data=mixture is several corpora, and one is read here"):
        mixed(tmp_path).data.build()


def test_it_is_described(both):
    lines = describe(both)
    assert lines[0].startswith("source        few: ")
    assert any(line.startswith("part few      ") for line in lines)
