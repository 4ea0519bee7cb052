"""`to=huggingface`: a folder that AutoModelForCausalLM and AutoTokenizer open as a class of Transformers' own.

The class is chosen by the model's settings (families/table.py). The folder opens in Transformers 5 and 4.57: what the
two spell differently is written in both ways.
"""

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from prospero.data.rendering.chat_template import ChatTemplate
from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.errors import ConfigError, ProsperoError
from prospero.interop.families.family import Family
from prospero.interop.families.table import family_for
from prospero.interop.formats import Exported
from prospero.interop.model_card import EAGER, model_card
from prospero.interop.output import new_folder
from prospero.interop.precision import cast, torch_dtype
from prospero.interop.safetensors_file import unshared
from prospero.interop.settings import ExportConfig
from prospero.interop.sizes import bytes_of
from prospero.interop.tokenizer_out import write_tokenizer
from prospero.interop.weights import check_all_used, to_theirs
from prospero.log import log
from prospero.model.transformer import Transformer
from prospero.paths import write_text

MOST_SUPPRESSED = 4096
"""Ids beyond the tokenizer's that generation_config.json forbids one by one."""


def write_hugging_face(exported: Exported, out: Path, settings: ExportConfig) -> str:
    """Write the folder; ConfigError, before anything is written, for what no class of Transformers has."""
    if exported.tokenizer is None:
        raise ConfigError(f"{exported.source} has no tokenizer.json; to=huggingface writes a tokenizer too")
    family, config, state = converted(exported, settings)
    with new_folder(out) as folder:
        write_json(folder / "config.json", config)
        write_json(folder / "generation_config.json", _generation(exported, config))
        write_tokenizer(exported.tokenizer, folder, model_max_length=exported.model.max_seq_len)
        card = model_card(
            exported, family.architecture, license=settings.license, name=out.name, eager=needs_eager(exported.model)
        )
        write_text(folder / "README.md", card)
        _write_weights(state, folder, bytes_of(settings.max_shard_size, "max_shard_size"))
    said = f"{family.architecture}, {sum(tensor.numel() for tensor in state.values()):,} numbers"
    return f"{said}; {EAGER}" if needs_eager(exported.model) else said


def needs_eager(model: object) -> bool:
    """Whether a cap on attention is lost in Transformers' sdpa, without an error."""
    return isinstance(model, Transformer) and model.config.attention_softcap is not None


def converted(exported: Exported, settings: ExportConfig) -> tuple[Family, dict[str, Any], dict[str, Tensor]]:
    """Return the class, its config.json and its weights; ConfigError for what none has."""
    model = exported.model
    if not isinstance(model, Transformer):
        name = exported.description["model"]["name"]
        raise ConfigError(
            f"model={name} is no Transformer, and Transformers has no class for it; export it with to=onnx or "
            "to=safetensors"
        )
    family = family_for(model.config)
    config = hugging_face_config(exported, family, dtype=str(torch_dtype(settings.dtype))[6:])
    state = unshared(model.state_dict())
    check_all_used(family, model.config, state)
    return family, config, cast(to_theirs(family, model.config, config, state), settings.dtype)


def hugging_face_config(exported: Exported, family: Family, *, dtype: str) -> dict[str, Any]:
    """Return config.json of a model as `family`."""
    model, tokenizer = exported.model, exported.tokenizer
    assert isinstance(model, Transformer)
    end = tokenizer.eot_id if tokenizer is not None else None
    begin = tokenizer.bos_id if tokenizer is not None and tokenizer.bos_id is not None else end
    return {
        "architectures": [family.architecture],
        "model_type": family.model_type,
        "vocab_size": model.vocab_size,
        **family.write(model.config, model.max_seq_len),
        "tie_word_embeddings": model.config.tie_embeddings,
        "initializer_range": model.config.init_std,
        "bos_token_id": begin,
        "eos_token_id": end,
        "pad_token_id": None,
        "use_cache": True,
        "dtype": dtype,
        "torch_dtype": dtype,
    }


def _generation(exported: Exported, config: dict[str, Any]) -> dict[str, Any]:
    """Greedy, as it is the same everywhere; ids that the tokenizer does not have are never written."""
    found = {name: config[name] for name in ("bos_token_id", "eos_token_id")}
    found |= {"pad_token_id": config["eos_token_id"], "do_sample": False}
    assert exported.tokenizer is not None
    found["eos_token_id"] = _ends(exported.tokenizer)
    beyond = range(exported.tokenizer.vocab_size, exported.model.vocab_size)
    return found | ({"suppress_tokens": list(beyond)} if 0 < len(beyond) <= MOST_SUPPRESSED else {})


def _ends(tokenizer: Tokenizer) -> int | list[int]:
    """Return what ends a text: the separator, and where it is another token what ends an answer of a dialogue."""
    end = None
    if tokenizer.chat_template is not None:
        try:
            end = ChatTemplate.of(tokenizer).frame.end
        except ProsperoError as error:  # of a template that was imported and is of no use here
            log.warning("the separator alone ends a text: %s", error)
    ends = {tokenizer.eot_id, *([] if end is None else [tokenizer.control_id(end)])}
    return tokenizer.eot_id if len(ends) == 1 else [tokenizer.eot_id, *sorted(ends - {tokenizer.eot_id})]


def _write_weights(state: dict[str, Tensor], folder: Path, max_shard_bytes: int) -> None:
    from huggingface_hub import save_torch_state_dict

    save_torch_state_dict(state, folder, max_shard_size=max_shard_bytes, metadata={"format": "pt"})
    for path in folder.glob("*.safetensors"):
        path.chmod(0o644)


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a table as JSON."""
    write_text(path, json.dumps(value, indent=2) + "\n")
