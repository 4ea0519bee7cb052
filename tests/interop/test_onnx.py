"""`export to=onnx`: onnxruntime computes what the model computes, whole and continued, and the file tells no tales.

A trace of a Transformer takes seconds, so one with several switches at once serves the tests; `--long` has the rest.
"""

import contextlib
import io
import json
import logging
import sys

import numpy as np
import pytest
import tokenizers
import torch

from prospero.checkpoints.model_folder import build_model, describe_model
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.errors import ConfigError
from prospero.generation.decoder import ModelDecoder
from prospero.generation.generate import generate
from prospero.generation.onnx_decoder import OnnxDecoder
from prospero.generation.sampling import SamplingConfig
from prospero.interop.formats import Exported
from prospero.interop.onnx_export import write_onnx
from prospero.interop.onnx_int8 import BLOCK, pack
from prospero.interop.onnx_session import OnnxSession, bits_per_byte
from prospero.interop.settings import ExportConfig, ExportDtype, Quantize
from prospero.model.layers.attention import QKNormWidth
from prospero.model.layers.block import NormPlace
from prospero.model.layers.feed_forward import Activation
from prospero.model.layers.lookback import Lookback
from prospero.model.layers.norms import Norm
from prospero.model.layers.rotary import RopeScalingConfig, Scaling
from prospero.model.rnn import GRUConfig, LSTMConfig
from prospero.model.transformer import Position, TransformerConfig

for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package, reason="needs the extra onnx")

V, T = 257, 24
SMALL = {"n_layers": 2, "d_model": 32, "n_heads": 4}
SERVING = TransformerConfig(
    **SMALL, n_kv_heads=2, qk_norm=True, lookback=Lookback.smear, logit_softcap=20.0, windows=[6, 0]
)
GRID = {
    "llama": {"bias": True, "head_dim": 12, "rope_theta": 500.0},
    "tied": {"tie_embeddings": True, "n_kv_heads": 1},
    "gpt2": {
        "norm": Norm.layer,
        "position": Position.learned,
        "activation": Activation.gelu,
        "bias": True,
        "tie_embeddings": True,
    },
    "gemma": {
        "activation": Activation.geglu,
        "norm_place": NormPlace.sandwich,
        "windows": [4, 0],
        "window_rope_theta": 100.0,
        "attention_softcap": 5.0,
        "embedding_scale": 5.65,
        "tie_embeddings": True,
    },
    "neox": {
        "norm": Norm.layer,
        "parallel_residual": True,
        "rotary_dim": 4,
        "activation": Activation.gelu_exact,
        "qk_norm": True,
        "qk_norm_width": QKNormWidth.all_heads,
        "rope_scaling": RopeScalingConfig(kind=Scaling.yarn, factor=4.0, original_max_seq_len=16),
    },
    "shift": {"lookback": Lookback.shift, "activation": Activation.relu2, "document_attention": True},
}
RECURRENT = {
    "lstm": LSTMConfig(d_model=24, d_embedding=16, tie_embeddings=True),
    "gru": GRUConfig(d_model=24, n_layers=3),
    "lstm-head": LSTMConfig(d_model=24, n_layers=1),
    "gru-tied": GRUConfig(d_model=24, tie_embeddings=True),
}


def random_model(config):
    """Weights that let every one of them be seen: norms around 1, all else N(0, 0.2)."""
    generator = torch.Generator().manual_seed(0)
    model = config.build(V, T).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            norm = "norm" in name and name.endswith("weight")
            parameter.normal_(float(norm), 0.2, generator=generator)
    return model


def write(config, out, **settings):
    """Export a random model; returns it and what was said."""
    model = random_model(config)
    description = {"model": describe_model(config, vocab_size=V, max_seq_len=T), "facts": {}}
    exported = Exported(model, ByteTokenizerConfig().build(), description, out.parent)
    return model, write_onnx(exported, out, ExportConfig(to="onnx", out=str(out), **settings))


@torch.no_grad()
def differences(model, out):
    """The largest difference of a logit: of the whole text, of batch 1, and token by token from an empty past."""
    ids = torch.randint(V, (3, T), generator=torch.Generator().manual_seed(1))
    expected = model(ids).logits.numpy()
    session = OnnxSession(out, threads=1)
    found = {"whole": session.step(ids.numpy(), session.start(3))[0], "one row": None}
    found["one row"] = session.step(ids[:1, :1].numpy(), session.start(1))[0]
    past, pieces = session.start(3), []
    for cut in (slice(0, 5), slice(5, 6), slice(6, 8), *(slice(n, n + 1) for n in range(8, T))):
        logits, past = session.step(ids[:, cut].numpy(), past)
        pieces.append(logits)
    found["continued"] = np.concatenate(pieces, axis=1)
    wanted = {"whole": expected, "one row": expected[:1, :1], "continued": expected}
    return {name: float(np.abs(found[name] - wanted[name]).max()) for name in wanted}


@torch.no_grad()
def greedy(model, session, prompt, count):
    """The next `count` tokens of the model (each time from the whole text) and of the file (continued)."""
    ids = list(prompt)
    for _ in range(count):
        ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    logits, past = session.step(np.array([prompt]), session.start(1))
    written = [int(logits[0, -1].argmax())]
    while len(written) < count:
        logits, past = session.step(np.array([written[-1:]]), past)
        written.append(int(logits[0, -1].argmax()))
    return ids[len(prompt) :], written


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """(model, file) of a Transformer with several switches, traced once; the exporter's own warnings are not shown."""
    out, heard = tmp_path_factory.mktemp("served") / "new" / "model.onnx", io.StringIO()
    listener = logging.StreamHandler(heard)
    logging.getLogger("torch.onnx").addHandler(listener)
    with contextlib.redirect_stdout(heard), contextlib.redirect_stderr(heard):
        model, said = write(SERVING, out)
    logging.getLogger("torch.onnx").removeHandler(listener)
    assert said.startswith("model.onnx, float32, logits within ") and heard.getvalue() == ""
    return model, out


@pytest.mark.heavy
def test_a_transformer_gives_the_same_logits_and_text(served):
    model, out = served
    assert max(differences(model, out).values()) < 1e-4
    wanted, written = greedy(model, OnnxSession(out, threads=1), [5, 6, 7], 16)
    assert wanted == written and len(set(wanted)) > 1
    assert [path.name for path in out.parent.iterdir()] == ["model.onnx"]


def texts(decoder):
    greedy = SamplingConfig(temperature=0.0, max_new_tokens=12)
    tokenizer = ByteTokenizerConfig().build()
    return [found.ids for found in generate(decoder, tokenizer, ["abc", "a longer one"], greedy)]


@pytest.mark.heavy
def test_generation_writes_with_the_file_what_it_writes_with_the_model(served):
    model, out = served
    decoder = OnnxDecoder(out)
    assert texts(decoder) == texts(ModelDecoder(model)) and decoder.window == T
    assert decoder.tokenizer.eot_token == "<|endoftext|>" and decoder.tokenizer.bos_id is None


@pytest.mark.parametrize("name", ["lstm", "gru-tied"])
def test_generation_writes_with_a_recurrent_file(name, tmp_path):
    model, _ = write(RECURRENT[name], tmp_path / "model.onnx")
    decoder = OnnxDecoder(tmp_path / "model.onnx")
    assert texts(decoder) == texts(ModelDecoder(model)) and decoder.window is None


@pytest.mark.heavy
def test_its_inputs_and_outputs_are_named(served):
    session = OnnxSession(served[1]).session
    inputs = {item.name: item.shape for item in session.get_inputs()}
    outputs = {item.name: item.shape for item in session.get_outputs()}
    assert list(inputs) == [
        "input_ids",
        *(f"past_{kind}_{layer}" for layer in (0, 1) for kind in ("key", "value")),
        "past_previous_smear",
    ]
    assert inputs["input_ids"] == ["batch", "time"] and outputs["logits"] == ["batch", "time", V]
    assert inputs["past_key_1"] == ["batch", 2, "past", 8] and inputs["past_previous_smear"] == ["batch", 1, 32]
    assert outputs["present_value_0"] == ["batch", 2, "past + time", 8]


@pytest.mark.heavy
def test_the_file_holds_what_it_takes_and_nothing_of_this_machine(served):
    model, out = served
    notes = OnnxSession(out).session.get_modelmeta().custom_metadata_map
    assert set(notes) == {"prospero.description", "prospero.tokenizer", "prospero.special_tokens"}
    assert json.loads(notes["prospero.special_tokens"]) == {"eot": "<|endoftext|>", "bos": None}
    again = build_model(json.loads(notes["prospero.description"]))
    assert again.config == model.config and again.max_seq_len == T
    tokenizer = tokenizers.Tokenizer.from_str(notes["prospero.tokenizer"])
    assert tokenizer.encode("é").ids == [195, 169]
    content = out.read_bytes()
    assert not [
        word for word in (b"site-packages", b".py", b"stack_trace", str(out.parent).encode()) if word in content
    ]


@pytest.mark.heavy
def test_the_model_is_as_it_was(served):
    model, _ = served
    assert model.max_seq_len == T and {block.attention.kernel.value for block in model.blocks} == {"sdpa"}
    assert model.training is False and all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_models_give_the_same_logits_and_text(name, tmp_path):
    out = tmp_path / "model.onnx"
    model, _ = write(RECURRENT[name], out)
    assert max(differences(model, out).values()) < 1e-5
    wanted, written = greedy(model, OnnxSession(out, threads=1), [5, 6, 7], 16)
    assert wanted == written and len(set(wanted)) > 1


def test_a_recurrent_model_without_its_state(tmp_path):
    model, _ = write(RECURRENT["gru"], tmp_path / "model.onnx", cache=False)
    session = OnnxSession(tmp_path / "model.onnx")
    assert session.start(2) == {} and [item.name for item in session.session.get_outputs()] == ["logits"]
    ids = torch.arange(10).view(2, 5)
    with torch.no_grad():
        assert np.abs(session.step(ids.numpy(), {})[0] - model(ids).logits.numpy()).max() < 1e-5


def test_bits_per_byte_by_hand(tmp_path):
    model, _ = write(RECURRENT["lstm-head"], tmp_path / "model.onnx")
    rows = [[1, 2, 3, 4], [5, 6]]
    widths = np.zeros(V, np.int32)
    widths[[2, 3, 4, 6]] = [1, 2, 1, 4]
    with torch.no_grad():
        logs = [model(torch.tensor([row])).logits[0].log_softmax(-1) for row in rows]
    nats = -sum(float(log[n, row[n + 1]]) for log, row in zip(logs, rows) for n in range(len(row) - 1))
    session = OnnxSession(tmp_path / "model.onnx")
    found = bits_per_byte(lambda ids: session.step(ids, session.start(1))[0], rows, widths)
    assert found == pytest.approx(nats / np.log(2) / 8, rel=1e-5)


def test_blocks_of_eight_bits_by_hand():
    matrix = np.zeros((BLOCK + 2, 2), np.float32)
    matrix[0], matrix[1], matrix[BLOCK] = [127, -254], [1, 2], [0, 63.5]
    packed, scales = pack(matrix)
    assert packed.shape == (2, 2, BLOCK) and scales.tolist() == [[1.0, 0.0], [2.0, 0.5]]
    assert packed[:, 0, :3].tolist() == [[255, 129, 128], [1, 129, 128]]
    assert packed[:, 1, :2].tolist() == [[128, 128], [255, 128]]


def test_a_graph_in_eight_bits(tmp_path):
    """On the head of a recurrent graph, which takes no trace: the graph is rewritten, smaller, and close."""
    from prospero.interop.onnx_export import graph_of, save
    from prospero.interop.onnx_int8 import quantize_products

    model = random_model(GRUConfig(d_model=64, tie_embeddings=True))
    graph = graph_of(model, cache=True)
    assert quantize_products(graph) == 1
    operators = [node.op_type for node in graph.graph]
    assert "MatMul" not in operators and operators.count("Transpose") == 2  # of the activations; the head's is gone
    save(graph, tmp_path / "model.onnx")
    difference = max(differences(model, tmp_path / "model.onnx").values())
    assert 1e-6 < difference < 0.05


@pytest.mark.parametrize(
    ("config", "settings", "said"),
    [
        (SERVING, {"dtype": ExportDtype.bfloat16}, "to=onnx writes float32"),
        (RECURRENT["gru"], {"quantize": Quantize.int8}, "quantize=int8 is for transformers"),
        (RECURRENT["gru"], {"name": "model.bin"}, r"ends in \.onnx"),
        (RECURRENT["gru"], {"name": "taken.onnx"}, "taken.onnx exists; it is not replaced"),
        (RECURRENT["gru"], {"name": "large.onnx"}, r"large\.onnx\.data exists; it is not replaced"),
        (RECURRENT["gru"], {"name": "folder.onnx"}, "is a folder; this format is one file"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(config, settings, said, tmp_path):
    (tmp_path / "taken.onnx").write_text("mine")
    (tmp_path / "large.onnx.data").write_text("mine")
    (tmp_path / "folder.onnx").mkdir()
    before = sorted(tmp_path.iterdir())
    settings = dict(settings)
    with pytest.raises(ConfigError, match=said) as caught:
        write(config, tmp_path / settings.pop("name", "model.onnx"), **settings)
    assert "\n" not in str(caught.value) and sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "taken.onnx").read_text() == "mine"


def test_another_kind_of_model_and_a_missing_extra(tmp_path, monkeypatch):
    description = {"model": {"name": "bigram"}, "facts": {}}
    exported = Exported(torch.nn.Linear(2, 2), None, description, tmp_path)
    settings = ExportConfig(to="onnx", out="x")
    with pytest.raises(ConfigError, match="this model is a Linear"):
        write_onnx(exported, tmp_path / "model.onnx", settings)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ConfigError, match=r"needs onnxscript, which is not installed: pip install 'prospero\[onnx\]'"):
        write_onnx(exported, tmp_path / "model.onnx", settings)
    assert not list(tmp_path.iterdir())


def test_a_wrong_graph_is_never_left_behind(tmp_path, monkeypatch):
    from prospero.interop import onnx_recurrent

    monkeypatch.setattr(onnx_recurrent, "LSTM_GATES", [0, 1, 2, 3])
    with pytest.raises(RuntimeError, match="its logits differ by"):
        write(RECURRENT["lstm"], tmp_path / "new" / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_large_weights_lie_beside_the_file(tmp_path, monkeypatch):
    from prospero.interop import onnx_export

    monkeypatch.setattr(onnx_export, "LARGEST_SINGLE_FILE", 1000)
    out = tmp_path / "model.onnx"
    model, said = write(RECURRENT["lstm"], out)
    assert said.startswith("model.onnx and model.onnx.data, float32")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "model.onnx.data"]
    assert max(differences(model, out).values()) < 1e-5
    (tmp_path / "moved").mkdir()
    for path in (out, tmp_path / "model.onnx.data"):
        path.rename(tmp_path / "moved" / path.name)
    assert max(differences(model, tmp_path / "moved" / "model.onnx").values()) < 1e-5


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("name", GRID)
def test_every_switch_is_traced(name, cache, tmp_path, long_form):
    if not long_form:
        pytest.skip("traces of twelve models take minutes: pytest --long")
    out = tmp_path / "model.onnx"
    model, _ = write(TransformerConfig(**{**SMALL, **GRID[name]}), out, cache=cache)
    if cache:
        assert max(differences(model, out).values()) < 1e-4
        wanted, written = greedy(model, OnnxSession(out), [5, 6, 7], 16)
        assert wanted == written
        return
    ids = torch.randint(V, (3, T), generator=torch.Generator().manual_seed(1))
    assert "prospero.tokenizer" in OnnxSession(out).session.get_modelmeta().custom_metadata_map
    with torch.no_grad():
        assert np.abs(OnnxSession(out).step(ids.numpy(), {})[0] - model(ids).logits.numpy()).max() < 1e-4


@pytest.mark.parametrize("name", ["llama", "tied", "gpt2"])
def test_transformers_in_eight_bits(name, tmp_path, long_form):
    if not long_form:
        pytest.skip("traces of three models take a minute: pytest --long")
    config = TransformerConfig(**{**SMALL, **GRID[name], "d_model": 64})
    out = tmp_path / "model.onnx"
    model, said = write(config, out, quantize=Quantize.int8)
    assert "matrices in 8 bits (what it costs is not known: the run's prepared data are not in outputs/data)" in said
    size = sum(parameter.numel() * 4 for parameter in model.parameters())
    embeddings = (V + (T if model.positions is not None else 0)) * 64 * 4
    assert out.stat().st_size < embeddings + 0.45 * size
