from typing import get_type_hints

import pytest
import torch
import yaml

from prospero.model.layers.feed_forward import Activation
from prospero.model.rnn import GRUConfig, LSTMConfig
from prospero.model.size import count_parameters, flops_per_token
from prospero.model.transformer import TransformerConfig
from prospero.paths import config_dir

CONFIGS = {"transformer": TransformerConfig, "lstm": LSTMConfig, "gru": GRUConfig}

PARAMETERS = {
    ("tiny", 1024): 238_016,
    ("small", 1024): 2_164_928,
    ("base", 50257): 123_551_232,
    ("gpt2", 50257): 124_439_808 - (1024 - 256) * 768,  # GPT-2's own number, without the positions beyond 256
    ("medium", 50257): 355_076_096,
    ("1b", 50257): 1_317_277_696,
    ("large", 50257): 778_109_440,
    ("xl", 50257): 1_560_041_600,
    ("7b", 32000): 6_738_415_616,  # Llama 7B's own number
    ("lstm_tiny", 1024): 231_552,
    ("lstm", 1024): 2_201_472,
    ("lstm_base", 50257): 122_982_144,
    ("gru_tiny", 1024): 241_600,
    ("gru", 1024): 2_128_672,
    ("gru_base", 50257): 123_895_680,
}


def preset(name: str) -> TransformerConfig | LSTMConfig | GRUConfig:
    content = yaml.safe_load((config_dir() / "model" / f"{name}.yaml").read_text(encoding="utf-8"))
    kind = content.pop("defaults")[0].removeprefix("/schema/model/").removesuffix("@_here_")
    hints = get_type_hints(CONFIGS[kind])
    chosen = {key: hints[key](item) if isinstance(item, str) else item for key, item in content.items()}  # the enums
    return CONFIGS[kind](**chosen)


@pytest.mark.parametrize(("name", "vocab_size"), PARAMETERS)
def test_presets_have_the_size_they_promise(name: str, vocab_size: int) -> None:
    with torch.device("meta"):
        model = preset(name).build(vocab_size, max_seq_len=256)
    assert count_parameters(model).total == PARAMETERS[name, vocab_size]


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize(
    ("rnn", "transformer", "vocab_size"), [("_tiny", "tiny", 1024), ("", "small", 1024), ("_base", "base", 50257)]
)
def test_recurrent_presets_match_the_transformers(kind: str, rnn: str, transformer: str, vocab_size: int) -> None:
    assert PARAMETERS[kind + rnn, vocab_size] == pytest.approx(PARAMETERS[transformer, vocab_size], rel=0.03)


def test_every_model_preset_is_counted() -> None:
    assert {path.stem for path in (config_dir() / "model").glob("*.yaml")} == {name for name, _ in PARAMETERS}


def test_parameters_by_module() -> None:
    count = count_parameters(TransformerConfig(n_layers=1, d_model=8, n_heads=2, d_ff=16).build(10, 4))
    block = 4 * 8 * 8 + 3 * 8 * 16 + 2 * 8
    assert count.by_module == {"embedding": 80, "blocks": block, "norm": 8, "head": 80}
    assert (count.total, count.embedding, count.non_embedding) == (168 + block, 80, 88 + block)


@pytest.mark.parametrize("tied", [False, True])
def test_flops_are_those_of_palm(tied: bool) -> None:
    config = TransformerConfig(
        n_layers=3, d_model=48, n_heads=4, head_dim=16, activation=Activation.gelu, tie_embeddings=tied
    )
    matrices = 3 * (4 * 48 * 64 + 2 * 48 * 192) + 100 * 48
    assert flops_per_token(config.build(100, 32), seq_len=32) == 6 * matrices + 12 * 3 * 4 * 16 * 32


def test_flops_of_recurrent_models() -> None:
    assert flops_per_token(LSTMConfig(d_model=16).build(100, 32), 32) == 6 * (2 * 2 * 4 * 16 * 16 + 100 * 16)
    tied = GRUConfig(n_layers=1, d_model=16, d_embedding=8, tie_embeddings=True).build(100, 32)
    assert flops_per_token(tied, 32) == 6 * (3 * 16 * 8 + 3 * 16 * 16 + 16 * 8 + 100 * 8)
