"""Small models that between them turn every switch, shared by the tests of this room."""

import dataclasses

from prospero import registry
from prospero.model.base import LanguageModel
from prospero.model.layers.attention import AttentionKernel, QKNormWidth
from prospero.model.layers.block import NormPlace
from prospero.model.layers.feed_forward import Activation
from prospero.model.layers.lookback import Lookback
from prospero.model.layers.norms import Norm
from prospero.model.layers.rotary import RopeScalingConfig, Scaling
from prospero.model.rnn import GRUConfig, LSTMConfig
from prospero.model.transformer import Position, TransformerConfig

VOCAB, SEQ_LEN = 97, 24

SHAPE = {"n_layers": 2, "d_model": 32, "n_heads": 4}
CONFIGS = {
    "llama": TransformerConfig(**SHAPE),
    "explicit": TransformerConfig(**SHAPE, attention=AttentionKernel.explicit),
    "gpt2": TransformerConfig(
        **SHAPE,
        norm=Norm.layer,
        position=Position.learned,
        activation=Activation.gelu,
        bias=True,
        tie_embeddings=True,
    ),
    "qwen3": TransformerConfig(**SHAPE, n_kv_heads=2, head_dim=16, qk_norm=True, tie_embeddings=True),
    "multi_query": TransformerConfig(**SHAPE, n_kv_heads=1, attention=AttentionKernel.explicit),
    "modern": TransformerConfig(
        **SHAPE, activation=Activation.relu2, qk_norm=True, lookback=Lookback.smear, logit_softcap=15.0
    ),
    "shift": TransformerConfig(**SHAPE, lookback=Lookback.shift, attention=AttentionKernel.explicit),
    "gemma": TransformerConfig(
        **SHAPE,
        norm_place=NormPlace.sandwich,
        activation=Activation.geglu,
        windows=[5, 0],
        window_rope_theta=100.0,
        qk_norm=True,
        embedding_scale=32**0.5,
        attention_softcap=5.0,
        tie_embeddings=True,
    ),
    "olmo": TransformerConfig(**SHAPE, norm_place=NormPlace.post, qk_norm=True, qk_norm_width=QKNormWidth.all_heads),
    "neox": TransformerConfig(
        **SHAPE,
        norm=Norm.layer,
        parallel_residual=True,
        rotary_dim=4,
        activation=Activation.gelu_exact,
        bias=True,
        attention=AttentionKernel.explicit,
    ),
    "neo": TransformerConfig(
        **SHAPE, norm=Norm.layer, position=Position.learned, windows=[0, 6], bias=True, qkv_bias=False
    ),
    "llama3": TransformerConfig(
        **SHAPE,
        n_kv_heads=2,
        windows=[7],
        rope_scaling=RopeScalingConfig(kind=Scaling.llama3, factor=8.0, original_max_seq_len=16),
    ),
    "lstm": LSTMConfig(d_model=32),
    "gru": GRUConfig(d_model=32),
    "lstm_tied": LSTMConfig(d_model=32, d_embedding=16, tie_embeddings=True),
    "gru_three": GRUConfig(n_layers=3, d_model=24),
}
"""Name -> settings."""


def small(name: str) -> object:
    """Return a registered model's settings at the size of these tests."""
    config = registry.config_class("model", name)()
    fields = {field.name for field in dataclasses.fields(config)}
    return dataclasses.replace(config, **{key: value for key, value in SHAPE.items() if key in fields})


CONFIGS |= {f"registered {name}": small(name) for name in registry.names("model")}


def build(name: str, **changes: object) -> LanguageModel:
    """Build the variant called `name`, with some settings changed."""
    return dataclasses.replace(CONFIGS[name], **changes).build(vocab_size=VOCAB, max_seq_len=SEQ_LEN)
