"""`export to=gguf`: what Transformers reads back from the file, and what the file cannot say."""

import logging
import sys

import numpy as np
import pytest
import torch

from prospero.checkpoints.model_folder import describe_model
from prospero.data.tokenizer.bpe import BPETokenizerConfig, Pattern
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.data.tokenizer.char import CharTokenizerConfig
from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.errors import ConfigError
from prospero.interop.formats import Exported
from prospero.interop.gguf_export import architecture_of, write_gguf
from prospero.interop.settings import ExportConfig, ExportDtype
from prospero.model.layers.feed_forward import Activation
from prospero.model.layers.lookback import Lookback
from prospero.model.layers.norms import Norm
from prospero.model.layers.rotary import RopeScalingConfig, Scaling
from prospero.model.rnn import GRUConfig
from prospero.model.transformer import Position, TransformerConfig

gguf = pytest.importorskip("gguf", reason="needs the extra gguf")
TEXT = "the cat sat on the mat 1234 and the dog don't sat on\r\n\r\n the log; " * 40
WORDS = "abcdefghijklmnopqrstuvwxyz zyxwvutsrqponmlkjihgfedcba azbycxdwevfugthsirjqkplomn " * 9
V, T = 300, 32
LLAMA = {"n_layers": 2, "d_model": 64, "n_heads": 4}
GPT2 = LLAMA | {"norm": Norm.layer, "position": Position.learned, "activation": Activation.gelu}
CONFIGS = {
    "llama": LLAMA | {"n_kv_heads": 2, "norm_eps": 1e-3, "rope_theta": 500.0},
    "llama-biases": LLAMA | {"bias": True, "head_dim": 24, "d_ff": 96},
    "llama-tied": LLAMA | {"tie_embeddings": True, "n_kv_heads": 1},
    "llama-qwen2": LLAMA | {"qkv_bias": True},
    "qwen3": LLAMA | {"qk_norm": True, "n_kv_heads": 2, "head_dim": 32},
    "gpt2": GPT2 | {"bias": True, "tie_embeddings": True},
    "gpt2-no-bias": GPT2 | {"n_kv_heads": 2},
}


@pytest.fixture(scope="module")
def tokenizer():
    return BPETokenizerConfig(vocab_size=290).build(lambda: iter([TEXT]))


def random_model(config):
    """Weights that let every one of them be seen: norms around 1, all else N(0, 0.2)."""
    generator = torch.Generator().manual_seed(0)
    model = config.build(V, T).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            norm = "norm" in name and name.endswith("weight")
            parameter.normal_(float(norm), 0.2, generator=generator)
    return model


def write(config, tokenizer, out, **settings):
    model = random_model(config)
    description = {"model": describe_model(config, vocab_size=V, max_seq_len=T), "facts": {}}
    exported = Exported(model, tokenizer, description, out.parent)
    return model, write_gguf(exported, out, ExportConfig(to="gguf", out=str(out), **settings))


def stock_config(config):
    """The configuration of Transformers' class; read from the file alone it loses biases and head widths."""
    from transformers import GPT2Config, LlamaConfig, Qwen3Config

    c = config
    shared = {"vocab_size": V, "tie_word_embeddings": c.tie_embeddings}
    if c.norm is Norm.layer:
        sizes = {"n_embd": c.d_model, "n_layer": c.n_layers, "n_head": c.n_heads, "n_positions": T}
        return GPT2Config(**sizes, layer_norm_epsilon=c.norm_eps, **shared)
    kind = Qwen3Config if c.qk_norm else LlamaConfig
    return kind(
        hidden_size=c.d_model,
        intermediate_size=c.d_ff or 192,
        num_hidden_layers=c.n_layers,
        num_attention_heads=c.n_heads,
        num_key_value_heads=c.n_kv_heads or c.n_heads,
        head_dim=c.head_width,
        rms_norm_eps=c.norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": c.rope_theta},
        max_position_embeddings=T,
        attention_bias=c.has_bias("qkv"),
        **({} if c.qk_norm else {"mlp_bias": c.bias}),
        **shared,
    )


@torch.no_grad()
def difference(model, out, config, *, alone=False):
    """The largest difference of a logit between the model and what Transformers reads, its settings from the file too
    where it reads the file `alone`."""
    from transformers import AutoModelForCausalLM

    read, info = AutoModelForCausalLM.from_pretrained(
        out.parent,
        gguf_file=out.name,
        config=None if alone else stock_config(config),
        dtype=torch.float32,
        output_loading_info=True,
    )
    missing = {name for name in info["missing_keys"] if not (config.tie_embeddings and name == "lm_head.weight")}
    if config.has_bias("qkv") != config.has_bias("attention_out"):  # Transformers' class has all four or none: zero
        missing = {name for name in missing if not name.endswith("o_proj.bias")}
    assert not missing and not info["mismatched_keys"]
    ids = torch.randint(V, (2, T), generator=torch.Generator().manual_seed(1))
    return (read(ids).logits - model(ids).logits).abs().max().item()


@pytest.mark.parametrize("name", CONFIGS)
def test_transformers_reads_the_same_logits(name, tokenizer, tmp_path):
    config, out = TransformerConfig(**CONFIGS[name]), tmp_path / "new" / "model.gguf"
    model, said = write(config, tokenizer, out)
    assert said.startswith(f"architecture {name.partition('-')[0]}, float32, tokenizer qwen2")
    assert difference(model, out, config) < 1e-4
    if name in ("llama", "llama-tied"):  # of the others Transformers skips biases, head widths or positions beyond 1024
        assert difference(model, out, config, alone=True) < 1e-4
    assert [path.name for path in out.parent.iterdir()] == ["model.gguf"]


@pytest.mark.parametrize(("dtype", "bound"), [(ExportDtype.float16, 0.02), (ExportDtype.q8_0, 0.6)])
def test_fewer_bits_come_close(dtype, bound, tokenizer, tmp_path):
    config, out = TransformerConfig(**CONFIGS["llama"]), tmp_path / "model.gguf"
    model, _ = write(config, tokenizer, out, dtype=dtype)
    assert 1e-5 < difference(model, out, config) < bound
    kinds = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(out).tensors}
    assert kinds["blk.0.attn_norm.weight"] == "F32"
    assert kinds["blk.0.attn_q.weight"] == {"float16": "F16", "q8_0": "Q8_0"}[dtype.value]


def test_rows_that_do_not_fit_blocks_are_said(tokenizer, tmp_path):
    config = TransformerConfig(n_layers=1, d_model=48, n_heads=3, d_ff=64)
    _, said = write(config, tokenizer, tmp_path / "model.gguf", dtype=ExportDtype.q8_0)
    assert "8 matrices in float16 (their rows are no multiple of 32)" in said


def fields_of(out):
    return {name: field.contents() for name, field in gguf.GGUFReader(out).fields.items()}


def test_settings_that_transformers_skips_are_in_the_file(tokenizer, tmp_path):
    write(TransformerConfig(**CONFIGS["qwen3"], norm_eps=1e-3, rope_theta=500.0), tokenizer, tmp_path / "a.gguf")
    read = fields_of(tmp_path / "a.gguf")
    assert (read["qwen3.attention.key_length"], read["qwen3.attention.value_length"]) == (32, 32)
    assert (read["qwen3.rope.freq_base"], read["qwen3.context_length"], read["general.file_type"]) == (500.0, T, 0)
    assert read["qwen3.attention.layer_norm_rms_epsilon"] == pytest.approx(1e-3)
    write(TransformerConfig(**CONFIGS["gpt2"], norm_eps=1e-3), tokenizer, tmp_path / "b.gguf")
    read = fields_of(tmp_path / "b.gguf")
    assert read["gpt2.attention.layer_norm_epsilon"] == pytest.approx(1e-3)
    assert (read["gpt2.feed_forward_length"], read["gpt2.vocab_size"]) == (256, V)


def test_the_tokenizer_is_in_the_file(tokenizer, tmp_path):
    out = tmp_path / "model.gguf"
    write(TransformerConfig(**LLAMA), tokenizer, out)
    read = {name.removeprefix("tokenizer.ggml."): value for name, value in fields_of(out).items()}
    assert (read["model"], read["pre"], read["add_bos_token"]) == ("gpt2", "qwen2", False)
    assert read["tokens"][: tokenizer.vocab_size] == [
        tokenizer.inner.id_to_token(id_) for id_ in range(tokenizer.vocab_size)
    ]
    assert read["tokens"][-1] == "[PAD299]" and read["token_type"][-1] == 5
    assert read["eos_token_id"] == tokenizer.eot_id and read["token_type"][tokenizer.eot_id] == 3
    assert read["merges"][0].replace(" ", "") in read["tokens"] and read["merges"][0].count(" ") == 1
    assert len(read["merges"]) == tokenizer.vocab_size - 257


def test_a_token_before_every_text_is_asked_for(tokenizer, tmp_path):
    with_bos = Tokenizer(tokenizer.inner, tokenizer.eot_token, "the")
    write(TransformerConfig(**LLAMA), with_bos, tmp_path / "model.gguf")
    read = fields_of(tmp_path / "model.gguf")
    assert read["tokenizer.ggml.add_bos_token"] is True
    assert read["tokenizer.ggml.bos_token_id"] == with_bos.bos_id != tokenizer.eot_id


def test_three_digits_have_another_name(tmp_path):
    tokenizer = BPETokenizerConfig(vocab_size=290, max_digits=3).build(lambda: iter([TEXT]))
    _, said = write(TransformerConfig(**LLAMA), tokenizer, tmp_path / "model.gguf")
    assert said.endswith("tokenizer dbrx")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"lookback": Lookback.smear}, "model.lookback=smear"),
        ({"logit_softcap": 5.0}, "model.logit_softcap=5"),
        ({"qk_norm": True, "qkv_bias": True}, "model.qk_norm=true together with biases"),
        ({"windows": [8, 0]}, r"model.windows=\[8, 0\]"),
        ({"rope_scaling": RopeScalingConfig(kind=Scaling.linear, factor=2.0)}, "model.rope_scaling.kind=linear"),
        ({"position": Position.learned}, "model.position=learned"),
        ({"activation": Activation.relu2}, "model.activation=relu2"),
        ({**GPT2, "head_dim": 32}, "model.head_dim=32"),
    ],
)
def test_what_no_architecture_computes_is_named(settings, said):
    with pytest.raises(ConfigError, match=said) as caught:
        architecture_of(TransformerConfig(**{**LLAMA, **settings}))
    assert "\n" not in str(caught.value)


def test_training_settings_do_not_matter():
    assert architecture_of(TransformerConfig(dropout=0.1, document_attention=True, init_std=1.0)) == "llama"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ByteTokenizerConfig().build(), "merges nothing"),
        (lambda: CharTokenizerConfig().build(lambda: iter([TEXT])), "no byte-level BPE"),
        (lambda: BPETokenizerConfig(vocab_size=290, pattern=Pattern.gpt2).build(lambda: iter([TEXT])), "has no name"),
        (lambda: BPETokenizerConfig(vocab_size=290, max_digits=2).build(lambda: iter([TEXT])), "max_digits 1, 3"),
        (lambda: BPETokenizerConfig(vocab_size=310).build(lambda: iter([WORDS])), "it has 310 ids and the model 300"),
        (lambda: None, "needs a tokenizer"),
    ],
)
def test_tokenizers_that_gguf_cannot_say(make, said, tmp_path):
    with pytest.raises(ConfigError, match=said) as caught:
        write(TransformerConfig(**LLAMA), make(), tmp_path / "model.gguf")
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_other_mistakes_leave_nothing(tokenizer, tmp_path, monkeypatch):
    llama, out = TransformerConfig(**LLAMA), tmp_path / "model.gguf"
    with pytest.raises(ConfigError, match="knows Transformers only, and this model is 'gru'"):
        write(GRUConfig(d_model=32), tokenizer, out)
    with pytest.raises(ConfigError, match=r"to=gguf writes float32, float16, q8_0"):
        write(llama, tokenizer, out, dtype=ExportDtype.bfloat16)
    with pytest.raises(ConfigError, match=r"ends in \.gguf"):
        write(llama, tokenizer, tmp_path / "model.bin")
    with pytest.raises(ConfigError, match="is a setting of to=onnx"):
        write(llama, tokenizer, out, cache=False)
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(ConfigError, match=r"pip install 'prospero\[gguf\]'"):
        write(llama, tokenizer, out)
    assert not list(tmp_path.iterdir())


def test_an_error_halfway_leaves_nothing_and_what_is_there_stays(tokenizer, tmp_path, monkeypatch):
    out = tmp_path / "model.gguf"

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(gguf.GGUFWriter, "write_tensors_to_file", full)
    with pytest.raises(ConfigError, match="No space left"):
        write(TransformerConfig(**LLAMA), tokenizer, out)
    assert not list(tmp_path.iterdir())
    out.write_text("mine")
    with pytest.raises(ConfigError, match="it is not replaced"):
        write(TransformerConfig(**LLAMA), tokenizer, out)
    assert out.read_text() == "mine"


def test_nothing_is_printed(tokenizer, tmp_path, capfd, caplog):
    with caplog.at_level(logging.WARNING):
        write(TransformerConfig(**LLAMA), tokenizer, tmp_path / "model.gguf")
    assert capfd.readouterr() == ("", "") and not caplog.records


def test_numbers_too_large_for_half_are_named(tokenizer, tmp_path):
    config = TransformerConfig(**LLAMA)
    model = random_model(config)
    with torch.no_grad():
        model.embedding.weight[0, 0] = 1e6
    exported = Exported(model, tokenizer, {"model": {"name": "transformer"}, "facts": {}}, tmp_path)
    settings = ExportConfig(to="gguf", out="x", dtype=ExportDtype.float16)
    with np.errstate(over="ignore"), pytest.raises(ConfigError, match=r"token_embd\.weight holds numbers too large"):
        write_gguf(exported, tmp_path / "model.gguf", settings)
    assert not list(tmp_path.iterdir())
