"""Weights bit for bit, however they lie in files."""

import torch
from safetensors.torch import save_file

from prospero.checkpoints.equality import compare_weights
from prospero.checkpoints.reading import tensors_of_file


def stored(path, tensors):
    save_file(tensors, path)
    return tensors_of_file(path)


def test_one_bit_is_seen_and_said(tmp_path):
    weights = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(4, dtype=torch.bfloat16)}
    then = stored(tmp_path / "then.safetensors", weights)
    same = compare_weights("weights", then, stored(tmp_path / "same.safetensors", dict(reversed(weights.items()))))
    assert same.equal and same.tensors == 2 and not same.differing and same.largest == 0
    weights["a"] = weights["a"].clone()
    weights["a"][1, 2] = torch.nextafter(weights["a"][1, 2], torch.tensor(9.0))
    found = compare_weights("weights", then, stored(tmp_path / "now.safetensors", weights))
    assert not found.equal and found.differing == ["a"]
    assert found.largest == 2**-21  # 5 has its last bit there
    assert found.hash_then == same.hash_then != found.hash_now


def test_a_tensor_of_another_shape_type_or_name_differs(tmp_path):
    then = stored(tmp_path / "then.safetensors", {"a": torch.zeros(4)})
    for number, other in enumerate(({"a": torch.zeros(2, 2)}, {"a": torch.zeros(4).half()}, {"b": torch.zeros(4)}, {})):
        found = compare_weights("weights", then, stored(tmp_path / f"{number}.safetensors", other))
        assert not found.equal and found.differing == sorted({"a", *other}) and found.largest == 0
