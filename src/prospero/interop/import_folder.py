"""A Hugging Face folder becomes a model folder of Prospero. Nothing that the folder holds is executed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from prospero.checkpoints.manifest import describe_file
from prospero.checkpoints.model_folder import build_model, describe_model, load_state, save_model_folder
from prospero.errors import DataError
from prospero.interop.families.family import Family
from prospero.interop.families.table import family_of
from prospero.interop.keys import Keys
from prospero.interop.tokenizer_in import read_json, read_tokenizer
from prospero.interop.weights import opened, to_ours, weight_files
from prospero.model.transformer import Transformer, TransformerConfig

if TYPE_CHECKING:
    from prospero.data.tokenizer.tokenizer import Tokenizer
    from prospero.model.base import LanguageModel


@dataclass(frozen=True, slots=True)
class Foreign:
    """A model of a Hugging Face folder, in our words."""

    family: Family
    config: TransformerConfig
    state: Mapping[str, Tensor]
    """Whole tensors by our names, in the type that they were stored in where nothing was folded into them."""
    tokenizer: "Tokenizer | None"
    vocab_size: int
    max_seq_len: int

    @property
    def description(self) -> dict[str, Any]:
        """The description from which `build_model` builds it."""
        return describe_model(self.config, vocab_size=self.vocab_size, max_seq_len=self.max_seq_len)


def is_foreign(folder: Path) -> bool:
    """Whether a folder is a model of Hugging Face's: its config.json names a model_type, Prospero's does not."""
    file = folder / "config.json"
    return file.is_file() and "model_type" in read_json(file)


def read_foreign(folder: Path, *, with_tokenizer: bool = True) -> Foreign:
    """Return the model of a Hugging Face folder; DataError for what is missing, damaged or unknown."""
    values = _config(folder)
    family = family_of(values.get("model_type"), folder / "config.json")
    weight_files(folder)
    read = family.read_config(Keys(values, folder / "config.json"))
    tokenizer = read_tokenizer(folder, values) if with_tokenizer else None
    if tokenizer is not None and tokenizer.vocab_size > read.vocab_size:
        raise DataError(
            f"{folder}: the tokenizer has {tokenizer.vocab_size} ids and the embedding {read.vocab_size} rows"
        )
    with torch.device("meta"):
        shapes = read.config.build(read.vocab_size, read.max_seq_len)
    assert isinstance(shapes, Transformer)
    with opened(folder, family.prefix) as stored:
        state = to_ours(family, read.config, values, shapes, stored)
    return Foreign(family, read.config, state, tokenizer, read.vocab_size, read.max_seq_len)


def describe_foreign(folder: Path) -> "tuple[dict[str, Any], Tokenizer | None]":
    """Return (the description that `load_foreign` returns, tokenizer) without reading weights."""
    values = _config(folder)
    family = family_of(values.get("model_type"), folder / "config.json")
    read = family.read_config(Keys(values, folder / "config.json"))
    model = describe_model(read.config, vocab_size=read.vocab_size, max_seq_len=read.max_seq_len)
    return {"model": model, "facts": {"checkpoint": family.architecture}}, read_tokenizer(folder, values)


def load_foreign(folder: Path) -> "tuple[LanguageModel, Tokenizer | None, dict[str, Any]]":
    """Return (model in evaluation mode, tokenizer, facts) of a Hugging Face folder, as `load_model` does of ours."""
    foreign = read_foreign(folder)
    model = build_model(foreign.description)
    load_state(model, foreign.state, folder)
    facts = {"checkpoint": foreign.family.architecture}
    return model.eval(), foreign.tokenizer, {"model": foreign.description, "facts": facts}


def import_folder(folder: Path, out: Path, *, source: str, revision: str | None = None) -> Foreign:
    """Write the model of `folder` as the model folder `out`, with a receipt of where it came from; return the model."""
    foreign = read_foreign(folder)
    receipt = {
        "source": source,
        "revision": revision,
        "family": foreign.family.model_type,
        "architecture": foreign.family.architecture,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": _files(folder),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    save_model_folder(
        out,
        foreign.state,
        foreign.tokenizer,
        foreign.description,
        facts={"checkpoint": "imported", "imported": receipt},
    )
    return foreign


def _config(folder: Path) -> dict[str, Any]:
    file = folder / "config.json"
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; give one with config.json and model.safetensors")
    if not file.is_file():
        raise DataError(f"{folder} holds no config.json, so it does not say what model it is")
    values = read_json(file)
    if "model_type" not in values:
        raise DataError(
            f"{file} names no model_type; is it a folder of Hugging Face's? One of Prospero's needs no import"
        )
    return values


def _files(folder: Path) -> dict[str, Any]:
    """Return size and SHA-256 of every file that was read."""
    names = ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt")
    beside = [folder / name for name in names if (folder / name).is_file()]
    return {path.name: describe_file(path) for path in (*beside, *weight_files(folder))}
