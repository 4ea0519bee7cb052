"""An ONNX file as a decoder: a small graph whose logits depend on all tokens so far."""

import json

import numpy as np
import pytest
import torch

from prospero.errors import DataError
from prospero.generation.engine import Engine
from prospero.generation.generate import generate, score
from prospero.generation.onnx_decoder import DESCRIPTION, SPECIAL_TOKENS, OnnxDecoder
from prospero.generation.onnx_decoder import TOKENIZER as NOTE
from prospero.generation.sampling import SamplingConfig
from prospero.generation.weighing import weigh
from tests.generation.presets import TOKENIZER

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

V = TOKENIZER.vocab_size
MATRIX = np.random.default_rng(0).normal(size=(V, V)).astype(np.float32)


def write(path, notes=True, bos=None):
    """logits = (how often each token came until here) x MATRIX; the past are the one-hot rows of the tokens."""
    from onnx import TensorProto, helper, numpy_helper

    def constant(name, value):
        return numpy_helper.from_array(np.array(value), name)

    nodes = [
        helper.make_node("OneHot", ["input_ids", "depth", "levels"], ["hot"]),
        helper.make_node("Unsqueeze", ["hot", "one"], ["new"]),
        helper.make_node("Concat", ["past_key_0", "new"], ["present_key_0"], axis=2),
        helper.make_node("CumSum", ["present_key_0", "two"], ["counts"]),
        helper.make_node("Shape", ["past_key_0"], ["held"], start=2, end=3),
        helper.make_node("Slice", ["counts", "held", "end", "axis"], ["here"]),
        helper.make_node("Squeeze", ["here", "one"], ["rows"]),
        helper.make_node("MatMul", ["rows", "matrix"], ["logits"]),
    ]
    constants = [
        constant("depth", np.int64(V)), constant("levels", np.array([0, 1], np.float32)), constant("one", [1]),
        constant("two", np.int64(2)), constant("end", [2**31]), constant("axis", [2]), constant("matrix", MATRIX),
    ]  # fmt: skip
    floats, past = TensorProto.FLOAT, ["batch", 1, "past", V]
    graph = helper.make_graph(
        nodes,
        "counts",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "time"]),
         helper.make_tensor_value_info("past_key_0", floats, past)],
        [helper.make_tensor_value_info("logits", floats, ["batch", "time", V]),
         helper.make_tensor_value_info("present_key_0", floats, ["batch", 1, "all", V])],
        constants,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    if notes:
        description = {"name": "counts", "max_seq_len": 64}
        special = json.dumps({"eot": TOKENIZER.eot_token, "bos": bos})
        tokenizer = TOKENIZER.inner.to_str()
        helper.set_model_props(model, {DESCRIPTION: json.dumps(description), NOTE: tokenizer, SPECIAL_TOKENS: special})
    onnx.save(model, str(path))
    return path


def reference(prompt, count):
    ids = TOKENIZER.encode(prompt)
    for _ in range(count):
        ids.append(int((np.bincount(ids, minlength=V) @ MATRIX).argmax()))
    return ids[-count:]


def test_it_writes_what_the_graph_says(tmp_path):
    decoder = OnnxDecoder(write(tmp_path / "model.onnx"))
    assert decoder.tokenizer.fingerprint() == TOKENIZER.fingerprint() and decoder.window == 64
    greedy = SamplingConfig(temperature=0.0, max_new_tokens=12)
    prompts = ["ab", "a longer one", "x", "x"]
    for completion, prompt in zip(generate(decoder, decoder.tokenizer, prompts, greedy, batch_size=2), prompts):
        expected = reference(prompt, 12)
        end = expected.index(TOKENIZER.eot_id) if TOKENIZER.eot_id in expected else 12
        assert completion.ids == expected[:end]
    engine = Engine(decoder, decoder.tokenizer)
    engine.remove(engine.add("ab", greedy))
    assert engine.idle and decoder.rows == 0


def test_it_knows_the_token_that_stands_before_every_text(tmp_path):
    assert OnnxDecoder(write(tmp_path / "without.onnx")).tokenizer.bos_id is None
    decoder = OnnxDecoder(write(tmp_path / "with.onnx", bos=TOKENIZER.eot_token))
    assert decoder.tokenizer.bos_id == TOKENIZER.eot_id


def test_it_scores(tmp_path):
    decoder = OnnxDecoder(write(tmp_path / "model.onnx"))
    ids = [TOKENIZER.eot_id, *TOKENIZER.encode("abca")]
    counts = np.cumsum(np.eye(V)[ids], axis=0)
    expected = torch.tensor(counts @ MATRIX).log_softmax(-1)[:-1].gather(1, torch.tensor(ids[1:]).unsqueeze(1))
    found = score(decoder, decoder.tokenizer, "abca").log_probabilities
    assert found == pytest.approx(expected.squeeze(1).tolist(), abs=1e-4)
    ends = weigh(decoder, [ids, ids[:3]], [2, 1])
    assert [one.log_probabilities.tolist() for one in ends] == [pytest.approx(found[-2:]), pytest.approx(found[1:2])]


def test_what_is_no_such_file(tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(DataError, match=r"broken\.onnx is no ONNX model that can be run"):
        OnnxDecoder(tmp_path / "broken.onnx")
    with pytest.raises(DataError, match=r"other\.onnx was not exported by Prospero: its metadata lack prospero"):
        OnnxDecoder(write(tmp_path / "other.onnx", notes=False))
