"""Reading a folder: whole, by parts, laid out like what is there; what is missing or damaged is named."""

import json

import pytest
import torch

from prospero.checkpoints import StoredTensor, laid_out_like, read_folder, read_tensors
from prospero.errors import DataError
from tests.checkpoints.stored import write_folder


@pytest.fixture
def folder(tmp_path):
    tree = {"w": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.bfloat16), "n": 3}
    return write_folder(tmp_path / "step_00000001", tree)


def test_tensors_are_whole_or_left_unread(folder):
    found = read_folder(folder, lazy=lambda name: name == "w")
    assert repr(found["w"]) == "StoredTensor(w, [2, 3], torch.float32)"
    assert found["w"].n_bytes == 24 and found["n"] == 3
    assert torch.equal(found["w"].whole(), torch.arange(6.0).reshape(2, 3))
    assert found["b"].dtype == torch.bfloat16
    assert sorted(read_tensors(folder)) == ["b", "w"]
    like = found["w"].like(torch.zeros(2, 3))
    assert torch.equal(like, torch.arange(6.0).reshape(2, 3))
    with pytest.raises(DataError, match=r"'w' has the saved shape \[2, 3\], here it is \[3, 2\]"):
        found["w"].like(torch.zeros(3, 2))


def test_a_tree_is_laid_out_like_another(folder):
    stored = read_folder(folder, lazy=lambda name: True)
    state = {"in": {"w": stored["w"], "more": stored["b"]}, "plain": torch.ones(2), "other": torch.ones(3), "n": 1}
    like = {"in": {"w": torch.zeros(2, 3)}, "plain": torch.zeros(2), "other": torch.zeros(4)}
    found = laid_out_like(state, like)
    assert torch.equal(found["in"]["w"], torch.arange(6.0).reshape(2, 3))
    assert torch.equal(found["in"]["more"], torch.ones(2, dtype=torch.bfloat16)), "unknown: whole"
    assert torch.equal(found["plain"], torch.ones(2)) and found["n"] == 1
    assert found["other"] is state["other"], "of another shape: as it is"
    assert isinstance(state["in"]["w"], StoredTensor)


def test_a_tensor_that_no_file_has_is_named(folder):
    state = json.loads((folder / "state.json").read_text())
    state["gone"] = {"$tensor": {"name": "gone", "shape": [2], "dtype": "float32", "sharded": False}}
    (folder / "state.json").write_text(json.dumps(state))
    with pytest.raises(DataError, match="step_00000001 lacks the tensor 'gone'"):
        read_folder(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("state.json", b"{", r"state\.json is damaged \(Expecting"),
        ("state.json", None, r"state\.json is damaged \(.*No such file"),
        ("tensors_00000_of_00001.safetensors", b"12345678", r"00001\.safetensors is damaged \("),
        ("tensors_00000_of_00001.safetensors", b"", r"00001\.safetensors is damaged \("),
    ],
)
def test_a_damaged_file_is_named_in_one_line(folder, name, content, message):
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_folder(folder)
    assert "\n" not in str(caught.value)
