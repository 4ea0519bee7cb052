"""`prospero export to=huggingface`: the folder, its class, and what is refused before it is written."""

import json

import pytest
import torch
from safetensors.torch import load_file

from prospero.checkpoints.model_folder import describe_model, save_model_folder
from prospero.commands.export import export
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.errors import ConfigError
from prospero.interop.families.table import FAMILIES, family_for
from prospero.interop.settings import ExportConfig, ExportDtype
from prospero.model.layers.attention import QKNormWidth
from prospero.model.layers.block import NormPlace
from prospero.model.layers.feed_forward import Activation
from prospero.model.layers.lookback import Lookback
from prospero.model.layers.norms import Norm
from prospero.model.layers.rotary import RopeScalingConfig, Scaling
from prospero.model.rnn import GRUConfig
from prospero.model.transformer import Position, TransformerConfig
from prospero.runs.folder import RunFolder
from tests.interop.foreign import transformers

SHAPE = {"n_layers": 2, "d_model": 32, "n_heads": 4}
SIZES = {"vocab_size": 264, "max_seq_len": 24}
LEARNED = {"norm": Norm.layer, "position": Position.learned, "activation": Activation.gelu}
CLASSES = {
    "LlamaForCausalLM": [
        {},
        {"bias": True, "n_kv_heads": 2, "head_dim": 16, "tie_embeddings": True},
        {"qkv_bias": True},
        {"activation": Activation.geglu_exact},
        {"rope_scaling": RopeScalingConfig(kind=Scaling.linear, factor=2.0)},
    ],
    "Qwen3ForCausalLM": [{"qk_norm": True, "n_kv_heads": 2}, {"qk_norm": True, "windows": [7, 0]}],
    "ArceeForCausalLM": [{"activation": Activation.relu2}, {"activation": Activation.gelu, "bias": True}],
    "Starcoder2ForCausalLM": [
        {"norm": Norm.layer, "activation": Activation.gelu},
        {"norm": Norm.layer, "activation": Activation.relu2, "bias": True, "n_kv_heads": 1},
    ],
    "StableLmForCausalLM": [{"norm": Norm.layer}, {"norm": Norm.layer, "qkv_bias": True, "rotary_dim": 4}],
    "GPT2LMHeadModel": [
        LEARNED | {"bias": True, "tie_embeddings": True},
        LEARNED | {"n_kv_heads": 2, "activation": Activation.relu2},
    ],
    "MistralForCausalLM": [{"windows": [5]}],
}
"""Class -> settings of ours that are written as it."""


def model_folder(path, config, sizes=SIZES, facts=None):
    """Save a model whose norms and weights are far from their start."""
    model = config.build(**sizes)
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        mean = 1.0 if "norm" in name and name.endswith("weight") else 0.0
        parameter.data = mean + 0.2 * torch.randn(parameter.shape, generator=generator)
    tokenizer = ByteTokenizerConfig().build()
    save_model_folder(path, model.state_dict(), tokenizer, describe_model(config, **sizes), facts=facts)
    return model.eval()


def opened(folder, **settings):
    transformers.utils.logging.disable_progress_bar()
    model, info = transformers.AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True, **settings)
    assert not any(info.values()), info
    return model.eval()


@pytest.mark.parametrize(("name", "settings"), [(name, item) for name, items in CLASSES.items() for item in items])
def test_the_class_that_the_settings_choose_gives_our_logits_and_texts(name, settings, tmp_path):
    ours = model_folder(tmp_path / "model", TransformerConfig(**SHAPE, **settings))
    assert export(ExportConfig(run=str(tmp_path / "model"), out=str(tmp_path / "hf"))) == 0
    theirs = opened(tmp_path / "hf")
    assert type(theirs).__name__ == name
    ids = torch.randint(257, (2, 24), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = ours(ids).logits
        assert (theirs(ids).logits - wanted).abs().max() < 1e-4
        text = theirs.generate(ids[:1, :4], attention_mask=torch.ones(1, 4), max_new_tokens=8, eos_token_id=None)
        mine = ids[:1, :4]
        for _ in range(8):
            best = ours(mine).logits[:, -1:, :257].argmax(-1)  # ids of the padding are never written
            mine = torch.cat((mine, best), dim=1)
    assert text.tolist() == mine.tolist()


REFUSED = [
    ({"lookback": Lookback.smear}, "model.lookback=smear"),
    ({"lookback": Lookback.shift}, "model.lookback=shift"),
    ({"logit_softcap": 15.0}, "model.logit_softcap=15.0"),
    ({"position": Position.learned}, "model.norm=rms|model.position=learned"),
    ({**LEARNED, "activation": Activation.swiglu}, "model.activation=swiglu|model.position=learned"),
    ({"qk_norm": True, "bias": True}, "model.qk_norm=true"),
    ({"windows": [5, 0]}, r"model.windows=\[5, 0\]"),
    ({"windows": [5, 6]}, r"model.windows=\[5, 6\]"),
    ({"qk_norm": True, "qk_norm_width": QKNormWidth.all_heads}, "model.qk_norm_width=all_heads|model.norm_place=pre"),
]


@pytest.mark.parametrize(("settings", "said"), REFUSED)
def test_a_setting_that_no_class_has_is_named_before_anything_is_written(settings, said, tmp_path):
    model_folder(tmp_path / "model", TransformerConfig(**SHAPE, **settings))
    with pytest.raises(ConfigError, match=f"No class of Transformers .*({said})"):
        export(ExportConfig(run=str(tmp_path / "model"), out=str(tmp_path / "new/hf")))
    assert not (tmp_path / "new").exists()


def test_an_rnn_is_refused(tmp_path):
    config = GRUConfig(d_model=16)
    save_model_folder(
        tmp_path / "model",
        config.build(**SIZES).state_dict(),
        ByteTokenizerConfig().build(),
        describe_model(config, **SIZES),
    )
    with pytest.raises(ConfigError, match="model=gru is no Transformer"):
        export(ExportConfig(run=str(tmp_path / "model"), out=str(tmp_path / "hf")))


def test_a_model_without_a_tokenizer_is_refused(tmp_path):
    config = TransformerConfig(**SHAPE)
    save_model_folder(tmp_path / "model", config.build(**SIZES).state_dict(), None, describe_model(config, **SIZES))
    with pytest.raises(ConfigError, match=r"has no tokenizer.json; to=huggingface writes a tokenizer too"):
        export(ExportConfig(run=str(tmp_path / "model"), out=str(tmp_path / "hf")))


def test_weights_beyond_a_size_are_spread_and_narrow_types_are_written(tmp_path):
    ours = model_folder(tmp_path / "model", TransformerConfig(**SHAPE))
    out = tmp_path / "hf"
    export(ExportConfig(run=str(tmp_path / "model"), out=str(out), max_shard_size="40kB", dtype=ExportDtype.bfloat16))
    index = json.loads((out / "model.safetensors.index.json").read_text())["weight_map"]
    files = sorted(set(index.values()))
    assert len(files) > 1 and not (out / "model.safetensors").exists()
    state = {name: tensor for file in files for name, tensor in load_file(out / file).items()}
    assert {tensor.dtype for tensor in state.values()} == {torch.bfloat16}
    assert torch.equal(state["lm_head.weight"], ours.state_dict()["head.weight"].bfloat16())
    assert json.loads((out / "config.json").read_text())["torch_dtype"] == "bfloat16"
    assert opened(out, dtype="auto").dtype == torch.bfloat16


def test_config_is_written_in_the_words_of_both_versions(tmp_path):
    scaling = RopeScalingConfig(kind=Scaling.llama3, factor=8.0, original_max_seq_len=12)
    model_folder(tmp_path / "model", TransformerConfig(**SHAPE, rope_theta=500.0, rope_scaling=scaling))
    export(ExportConfig(run=str(tmp_path / "model"), out=str(tmp_path / "hf")))
    config = json.loads((tmp_path / "hf/config.json").read_text())
    table = {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 12}
    table |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
    assert config["rope_scaling"] == table and config["rope_theta"] == 500.0
    assert config["rope_parameters"] == {**table, "rope_theta": 500.0}
    assert config["dtype"] == config["torch_dtype"] == "float32"
    assert config["bos_token_id"] == config["eos_token_id"] == 256
    generation = json.loads((tmp_path / "hf/generation_config.json").read_text())
    assert generation["do_sample"] is False and generation["suppress_tokens"] == list(range(257, 264))


def test_the_card_has_metrics_data_licence_and_use(tmp_path):
    run = RunFolder(tmp_path / "run")
    model_folder(run.model, TransformerConfig(**SHAPE), facts={"metrics": {"val/loss": 1.23456}})
    row = {"tokens": 10, "bytes": 20, "unknown_tokens": 0, "unknown_bytes": 0}
    receipt = {
        "source": {"description": "poems"},
        "documents": {"read": 5, "kept": 4, "duplicate": 1, "dropped": 0},
        "bytes": {"read": 100, "kept": 80},
        "dropped": [],
        "repairs": {},
        "splits": {"train": row, "val": row},
        "tokenizer": {"vocab_size": 257},
        "bigram_bits_per_byte": 3.5,
        "fingerprint": "abc",
    }
    run.receipt.write_text(json.dumps(receipt))
    export(ExportConfig(run=str(run.path), out=str(tmp_path / "poet"), license="apache-2.0"))
    card = (tmp_path / "poet/README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\npipeline_tag: text-generation\nlicense: apache-2.0\n")
    for part in ("# poet", "| val/loss | 1.2346 |", "source        poems", "fingerprint   abc", 'pipeline("text-gen'):
        assert part in card
    export(ExportConfig(run=str(run.path), out=str(tmp_path / "again")))
    assert "license: unknown" in (tmp_path / "again/README.md").read_text()


def test_a_cap_on_attention_says_how_it_is_opened(tmp_path, capsys):
    config = TransformerConfig(
        **SHAPE,
        norm_place=NormPlace.sandwich,
        activation=Activation.geglu,
        embedding_scale=32**0.5,
        attention_softcap=2.0,
    )
    ours = model_folder(tmp_path / "model", config)
    export(ExportConfig(run=str(tmp_path / "model"), out=str(tmp_path / "hf")))
    assert "attn_implementation='eager'" in capsys.readouterr().err
    assert "'attn_implementation': 'eager'" in (tmp_path / "hf/README.md").read_text()
    ids = torch.randint(257, (1, 24), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits = opened(tmp_path / "hf", attn_implementation="eager")(ids).logits
        assert (logits - ours(ids).logits).abs().max() < 1e-4


@pytest.mark.parametrize("name", FAMILIES)
def test_no_family_takes_what_it_has_no_place_for(name):
    odd = TransformerConfig(**SHAPE, lookback=Lookback.smear)
    assert "lookback=smear" in FAMILIES[name].obstacles(odd)


def test_the_first_that_fits_is_taken():
    assert family_for(TransformerConfig(**SHAPE)).model_type == "llama"
