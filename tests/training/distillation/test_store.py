"""What a teacher said, stored: it is there whole or not at all, goes on after a kill, and knows what it is of."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from prospero.data.packing.concat import ConcatPackingConfig
from prospero.errors import ConfigError, DataError
from prospero.training.distillation import writing
from prospero.training.distillation.frozen import FrozenTeacher
from prospero.training.distillation.store import StoreFacts, TeacherStore, check_store
from prospero.training.distillation.writing import write_store
from tests.data.shard_making import make_shards, random_documents
from tests.training.distillation.teachers import MODEL

VOCAB, T, K = 100, 8, 5


@pytest.fixture
def packing(tmp_path):
    shards = make_shards(tmp_path / "shards", random_documents(12, 40, vocab_size=VOCAB))
    return ConcatPackingConfig().build(shards, T)


@pytest.fixture
def teacher():
    torch.manual_seed(1)
    return FrozenTeacher(replace(MODEL, init_std=0.5).build(VOCAB, T), VOCAB)


@pytest.fixture
def facts(packing):
    return StoreFacts(
        teacher={"fingerprint": "abc", "path": "somewhere"}, data="d" * 64, tokenizer="t" * 64,
        packing={"name": "concat", "settings": {}}, seq_len=T, temperature=2.0, top_k=K, vocabulary=VOCAB,
        sequences=len(packing), precision="float32",
    )  # fmt: skip


def write(folder, facts, teacher, packing, **how):
    return write_store(folder, facts, teacher, packing, **{"batch_size": 2, "chunk_tokens": 7, **how})


def test_each_position_has_the_teachers_likeliest_tokens_at_the_temperature(tmp_path, facts, teacher, packing):
    store = TeacherStore.open(write(tmp_path / "stores" / "a", facts, teacher, packing))
    assert store.facts == facts and len(packing) > 10
    sequences = np.array([len(packing) - 1, 0, 3])
    found = store(sequences)
    ids = torch.from_numpy(packing.read(sequences)["input_ids"])
    expected = torch.log_softmax(teacher.model(ids).logits / 2.0, -1)
    best = expected.topk(K, dim=-1)
    assert torch.equal(torch.from_numpy(found["teacher_ids"]).long(), best.indices)
    kept = torch.from_numpy(found["teacher_log_probs"]).float()
    torch.testing.assert_close(kept[..., :K], best.values, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(kept[..., K].exp(), 1 - best.values.exp().sum(-1), rtol=2e-3, atol=1e-5)
    assert found["teacher_log_probs"].dtype == np.float16 and np.load(store.folder / "ids.npy").dtype == np.uint16


class Stopped(Exception):
    pass


@pytest.mark.parametrize("after", [2, 7, 12])
def test_a_killed_one_is_not_there_and_goes_on_to_the_same_bytes(tmp_path, facts, teacher, packing, after, monkeypatch):
    monkeypatch.setattr(writing, "DURABLE_EVERY", 3)
    calm = write(tmp_path / "calm", facts, teacher, packing)
    seen = []

    def kill(sequences):
        seen.append(sequences)
        if sequences >= after:
            raise Stopped

    with pytest.raises(Stopped):
        write(tmp_path / "killed", facts, teacher, packing, on_batch=kill)
    assert not (tmp_path / "killed").exists()
    again = []
    killed = write(tmp_path / "killed", facts, teacher, packing, on_batch=again.append)
    assert again[0] == after // 6 * 6 + 2 and again[-1] == len(packing)
    for file in ("receipt.json", "ids.npy", "log_probs.npy", "manifest.json"):
        assert (killed / file).read_bytes() == (calm / file).read_bytes(), file
    assert sorted(path.name for path in killed.iterdir()) == [
        "ids.npy",
        "log_probs.npy",
        "manifest.json",
        "receipt.json",
    ]


def test_what_another_one_left_is_begun_anew(tmp_path, facts, teacher, packing, monkeypatch):
    monkeypatch.setattr(writing, "DURABLE_EVERY", 1)

    def kill(sequences):
        raise Stopped

    with pytest.raises(Stopped):
        write(tmp_path / "a", replace(facts, temperature=1.0), teacher, packing, on_batch=kill)
    seen = []
    store = TeacherStore.open(write(tmp_path / "a", facts, teacher, packing, on_batch=seen.append))
    assert seen[0] == 2 and store.facts.temperature == 2.0


def test_one_that_is_there_is_left_alone(tmp_path, facts, teacher, packing):
    folder = write(tmp_path / "a", facts, teacher, packing)
    seen = []
    assert write(tmp_path / "a", facts, teacher, packing, on_batch=seen.append) == folder and not seen


def test_damage_is_found(tmp_path, facts, teacher, packing):
    folder = write(tmp_path / "a", facts, teacher, packing)
    raw = bytearray((folder / "log_probs.npy").read_bytes())
    raw[200] ^= 1
    (folder / "log_probs.npy").write_bytes(raw)
    with pytest.raises(DataError, match=r"log_probs.npy is damaged"):
        TeacherStore.open(folder)
    with pytest.raises(DataError, match=r"is no store of what a teacher said"):
        TeacherStore.open(tmp_path)
    receipt = json.loads((folder / "receipt.json").read_text())
    for changed, said in ((receipt | {"format_version": 9}, "format version 9"), (receipt | {"top_k": "x"}, "'top_k'")):
        (folder / "receipt.json").write_text(json.dumps(changed))
        with pytest.raises(DataError, match=said):
            TeacherStore.open(folder, verify=False)
    del receipt["seq_len"]
    (folder / "receipt.json").write_text(json.dumps(receipt))
    with pytest.raises(DataError, match="lacks 'seq_len'"):
        TeacherStore.open(folder, verify=False)


def test_workers_open_it_for_themselves(tmp_path, facts, teacher, packing):
    store = TeacherStore.open(write(tmp_path / "a", facts, teacher, packing))
    packed = pickle.dumps(store)
    assert len(packed) < 2000
    there, here = pickle.loads(packed)(np.array([1])), store(np.array([1]))
    assert all(np.array_equal(there[name], here[name]) for name in here)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tokenizer": "u" * 64}, "tokenizer of fingerprint tttttttttttt, and this run has uuuuuuuuuuuu"),
        ({"data": "e" * 64}, "data of fingerprint dddddddddddd, and this run has eeeeeeeeeeee"),
        ({"packing": {"name": "padded", "settings": {}}}, "packing .*concat.* and this run has .*padded"),
        ({"seq_len": 9}, "seq_len=8, and this run has 9"),
        ({"temperature": 1.0}, r"loss.distill.temperature=2.0, and this run has 1.0"),
        ({"sequences": 10**6}, "training sequences, and this run reads 1000000; give train_sequences="),
    ],
)
def test_a_run_of_something_else_is_refused(tmp_path, facts, teacher, packing, changes, said):
    store = TeacherStore(write(tmp_path / "a", facts, teacher, packing), facts)
    check_store(store, replace(facts, sequences=3, precision="bf16"))
    with pytest.raises(ConfigError, match=said):
        check_store(store, replace(facts, **changes))


def test_the_fingerprint_is_of_what_decides_the_numbers(facts):
    assert replace(facts, teacher={"fingerprint": "abc", "path": "elsewhere"}).fingerprint == facts.fingerprint
    for changes in ({"teacher": {"fingerprint": "abd"}}, {"top_k": 6}, {"temperature": 1.0}, {"data": "e"}):
        assert replace(facts, **changes).fingerprint != facts.fingerprint
