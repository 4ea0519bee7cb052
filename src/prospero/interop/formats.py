"""The table of formats a model can be written in. Adding one is adding a line here and a function like the others."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prospero.errors import ConfigError, suggest
from prospero.interop.settings import ExportConfig

if TYPE_CHECKING:
    from prospero.data.tokenizer.tokenizer import Tokenizer
    from prospero.model.base import LanguageModel

FORMATS: dict[str, str] = {
    "huggingface": "prospero.interop.hugging_face:write_hugging_face",
    "onnx": "prospero.interop.onnx_export:write_onnx",
    "gguf": "prospero.interop.gguf_export:write_gguf",
    "peft": "prospero.interop.peft_format:write_peft",
    "safetensors": "prospero.interop.safetensors_file:write_safetensors",
}
"""Name -> "module:function" of (Exported, out, settings) -> what was written, in a few words."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What is exported."""

    model: "LanguageModel"
    """In evaluation mode, on the CPU."""
    tokenizer: "Tokenizer | None"
    description: Mapping[str, Any]
    """The model's config.json: `model` (name, settings, sizes) and `facts` (metrics, where it came from)."""
    source: Path
    """The folder it was read from: of a run, a checkpoint or a model."""


Writer = Callable[[Exported, Path, ExportConfig], str]
"""Writes to `out`, whole or not at all; raises ConfigError, before anything is written, for what the format lacks."""


def writer_of(name: str) -> Writer:
    """Return the function that writes the format `name`; ConfigError with the known ones if there is none."""
    if name not in FORMATS:
        raise ConfigError(f"There is no format '{name}'.{suggest(name, FORMATS)} to= is one of {', '.join(FORMATS)}.")
    module, _, function = FORMATS[name].partition(":")
    return getattr(importlib.import_module(module), function)
