"""Plain values come back exactly, type by type; what is none is refused, in writing and in reading."""

import enum
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from prospero.checkpoints.plain_tree import decode, encode
from prospero.errors import DataError


class Colour(enum.Enum):
    red = "red"


class Number(enum.IntEnum):
    one = 1


def again(value):
    """`value` written as JSON and read."""
    return decode(json.loads(json.dumps(encode(value, lambda *_: {}), allow_nan=False)), lambda _: None)


VALUES = [
    None, True, 0, -(2**70), 0.1, 5e-324, "", "$tensor", "ä\n\u2028", [], {}, (), (1, (2, [3])), {"a": {"b": [None]}},
    float("inf"), -float("inf"), b"\x00\xff", {"$x": 1}, {"$tuple": []}, {1: "a", (2, "b"): [3]}, {True: 1, None: 2},
    torch.bfloat16, {"a": (torch.float32,)}, {"": 1},
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_what_comes_back_is_equal_and_of_the_same_type(value):
    found = again(value)
    assert found == value and type(found) is type(value)
    if isinstance(value, dict):
        assert [type(key) for key in found] == [type(key) for key in value]
        assert list(found) == list(value)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.int64(3), 3), (np.float32(0.1), float(np.float32(0.1))), (np.bool_(True), True), (Colour.red, "red"),
        (Number.one, 1), (Path("a/b"), "a/b"), (torch.device("cpu"), "cpu"), (bytearray(b"x"), b"x"), ({7}, [7]),
    ],
    ids=repr,
)  # fmt: skip
def test_what_comes_back_as_a_plainer_value(value, plain):
    found = again(value)
    assert found == plain and type(found) is type(plain)


def test_not_a_number_comes_back_as_such():
    assert math.isnan(again(float("nan"))) and math.isnan(again([np.float64("nan")])[0])


@pytest.mark.parametrize("dtype", ["<f4", "<f8", "<i8", "|u1", "|b1"])
def test_arrays_come_back_writable(dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    found = again({"a": array})["a"]
    assert found.dtype == array.dtype and np.array_equal(found, array)
    found[0, 0] = 1


def test_tensors_are_left_to_the_caller_by_their_place():
    seen = {}

    def store(place, tensor):
        seen[place] = tensor
        return {"name": place}

    one = torch.zeros(1)
    written = encode({"a": [one, {"b": (one,)}], 3: one}, store)
    assert list(seen) == ["a/0", "a/1/b/0", "3"]
    assert decode(written, lambda reference: seen[reference["name"]])["a"][1]["b"] == (one,)


@pytest.mark.parametrize(
    ("value", "place", "kind"),
    [
        ({"a": {"b": print}}, "a/b", "builtin_function_or_method"),
        ([1, object()], "/1", "object"),
        ({"a": 1j}, "a", "complex"),
        ({"a": np.array([object()])}, "a", "ndarray"),
        ({"a": np.array(["x"])}, "a", "ndarray"),
    ],
)
def test_other_values_are_refused_by_their_place(value, place, kind):
    with pytest.raises(DataError, match=f"^the value '{place}' of type {kind} cannot be saved; checkpoints hold"):
        encode(value, lambda *_: {})


@pytest.mark.parametrize("node", [{"$code": "x"}, {"$dtype": "nn"}, {"$dtype": "load"}, {"$dtype": "no such thing"}])
def test_kinds_that_nobody_wrote_are_refused(node):
    with pytest.raises(DataError, match=f"a saved value is of the unknown kind '{re_escape(next(iter(node)))}'"):
        decode([node], lambda _: None)


def re_escape(text: str) -> str:
    return text.replace("$", r"\$")
