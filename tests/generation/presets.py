"""The presets of conf/model at the size of tests, shared by the tests of this room."""

import dataclasses
from pathlib import Path
from typing import Any

import torch
import yaml

from prospero import registry
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.model.base import LanguageModel
from prospero.model.layers.attention import AttentionKernel
from prospero.plain import from_plain

TOKENIZER = ByteTokenizerConfig().build(lambda: iter(()))
SEQ_LEN = 32
MODELS = Path(__file__).parents[2] / "conf" / "model"
SMALL = {"n_layers": 2, "d_model": 32, "n_heads": 4, "d_ff": 48, "dropout": 0.0, "d_embedding": None}
UNMOVED = {"init_std": 0.02, "activation_checkpointing": False, "attention": AttentionKernel.auto}


def settings_of(preset: str) -> tuple[str, dict]:
    """Return the part's name and the settings that a preset of conf/model gives it."""
    values = yaml.safe_load((MODELS / f"{preset}.yaml").read_text(encoding="utf-8"))
    schema, own = values.pop("defaults")
    assert own == "_self_"
    return schema.removeprefix("/schema/model/").partition("@")[0], values


def tiny(preset: str) -> LanguageModel:
    """Build a preset's model, its switches as they are and its sizes small."""
    torch.manual_seed(1)
    model = tiny_settings(preset).build(TOKENIZER.vocab_size, SEQ_LEN).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


def tiny_settings(preset: str) -> Any:
    """Return the settings of the preset with its sizes small."""
    name, settings = settings_of(preset)
    config = from_plain(registry.config_class("model", name), settings)
    names = {field.name for field in dataclasses.fields(config)}
    changes = {name: value for name, value in SMALL.items() if name in names}
    changes |= {name: value for name, value in UNMOVED.items() if name in names}
    if "n_kv_heads" in names and config.n_kv_heads is not None:
        changes |= {"n_kv_heads": 2}
    if "head_dim" in names and config.head_dim is not None:
        changes |= {"head_dim": 16}
    if "locked_dropout" in names:
        changes |= {"locked_dropout": False}
    return dataclasses.replace(config, **changes)


def presets() -> list[str]:
    """Return the presets of conf/model, one of those that differ in size alone."""
    distinct = {repr(tiny_settings(path.stem)): path.stem for path in sorted(MODELS.glob("*.yaml"))}
    return list(distinct.values())
