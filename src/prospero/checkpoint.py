"""What a checkpoint and a model folder hold, and how a model comes back from one. Needs torch, not Lightning.

Nothing here executes what a file says: tensors are read by safetensors, all else is JSON, and the architecture is
rebuilt from plain values through the table of parts. Every folder has a manifest with the SHA-256 of its files, which
are compared whenever it is read.

    <run>/model/                       model.safetensors, config.json, tokenizer.json: what is used, shared, converted
    <run>/checkpoints/step_00000400/   weights, optimiser, schedule, counters, metrics: what training goes on from
"""

import importlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

from prospero.checkpoints import folders
from prospero.checkpoints.manifest import MANIFEST, read_manifest, sign_folder, verify_folder
from prospero.errors import DataError, suggest
from prospero.log import log
from prospero.paths import fsync_file, write_text
from prospero.registry import PARTS

if TYPE_CHECKING:
    from torch import Tensor

    from prospero.data.tokenizer.tokenizer import Tokenizer
    from prospero.model.base import LanguageModel

FORMAT_VERSION = 1
"""Of the description of a model."""
MODEL_FILE, CONFIG_FILE, TOKENIZER_FILE = "model.safetensors", "config.json", "tokenizer.json"
_STATE_PREFIX = "model."  # of the language model inside Lightning's state dict
_OUR_KEY = "prospero"
STATE_FILE = "state.json"
MONITOR = "val/loss"


# Plain values ---------------------------------------------------------------------------------------------------------


def to_plain(value: Any) -> Any:
    """Return settings as dicts, lists, strings and numbers: a dataclass by its fields, an Enum by its name."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def from_plain(kind: Any, value: Any) -> Any:
    """Return `value`, as `to_plain` wrote it, as the type `kind`; DataError for a setting that `kind` does not have."""
    if get_origin(kind) in (Union, UnionType):
        members = [member for member in get_args(kind) if member is not type(None)]
        return None if value is None else from_plain(members[0], value)
    if isinstance(kind, type) and issubclass(kind, Enum):
        if value not in kind.__members__:
            raise DataError(
                f"'{value}' is none of {', '.join(kind.__members__)}; the file is of another version of Prospero"
            )
        return kind[value]
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        for name in value:
            if name not in hints:
                raise DataError(
                    f"{kind.__name__} has no setting '{name}'.{suggest(name, hints)} The file is of another version"
                )
        return kind(**{name: from_plain(hints[name], item) for name, item in value.items()})
    return value


def describe_model(config: Any, *, vocab_size: int, max_seq_len: int) -> dict[str, Any]:
    """Return all that `build_model` needs, as plain values: the part's name in the table, settings and sizes."""
    target = f"{type(config).__module__}:{type(config).__qualname__}"
    name = next((name for name, entry in PARTS["model"].items() if entry == target), None)
    if name is None:
        raise DataError(
            f"{target} is not in the table of parts, so a model saved with it could not be loaded; register it"
        )
    return {
        "format_version": FORMAT_VERSION,
        "name": name,
        "settings": to_plain(config),
        "vocab_size": vocab_size,
        "max_seq_len": max_seq_len,
    }


def build_model(description: Mapping[str, Any]) -> "LanguageModel":
    """Return the untrained model that `describe_model` described; DataError when its kind is unknown here."""
    version, name = description.get("format_version"), description.get("name", "")
    if version != FORMAT_VERSION:
        raise DataError(f"the model is of format version {version}; this Prospero reads version {FORMAT_VERSION}")
    if name not in PARTS["model"]:
        raise DataError(
            f"there is no model '{name}'.{suggest(name, PARTS['model'])} If a plugin brings it, name it in plugins="
        )
    module, _, kind = PARTS["model"][name].partition(":")
    config = from_plain(getattr(importlib.import_module(module), kind), description["settings"])
    return config.build(vocab_size=description["vocab_size"], max_seq_len=description["max_seq_len"])


# Model folders --------------------------------------------------------------------------------------------------------


def save_model_folder(
    folder: Path,
    state: Mapping[str, "Tensor"],
    tokenizer: "Tokenizer | None",
    description: Mapping[str, Any],
    *,
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """Write `state` (whole tensors by the model's own names), the tokenizer and config.json, whole or not at all.

    `description` is that of `describe_model`; `facts` are further plain values (step, metrics, data fingerprint).
    Tensors that share memory are stored once. A manifest with the hashes of the files comes last.
    """
    from safetensors.torch import save_file

    temporary = folders.unfinished(folder)
    temporary.mkdir(parents=True)
    try:
        save_file(_without_shared(state), str(temporary / MODEL_FILE), metadata={"format": "pt"})
        os.chmod(temporary / MODEL_FILE, 0o644)
        fsync_file(temporary / MODEL_FILE)
        if tokenizer is not None:
            tokenizer.save(temporary / TOKENIZER_FILE)
        config = {"model": dict(description), "facts": dict(facts or {})}
        write_text(temporary / CONFIG_FILE, json.dumps(config, indent=2, default=str) + "\n")
        sign_model_folder(temporary)
        folders.publish(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def sign_model_folder(folder: Path) -> None:
    """Write the manifest of a model folder as its files are now."""
    sign_folder(folder, [path.name for path in folder.iterdir() if path.is_file() and path.name != MANIFEST])


def load_model(path: Path | str, *, device: Any = "cpu") -> "tuple[LanguageModel, Tokenizer | None, dict[str, Any]]":
    """Return (model in evaluation mode, tokenizer, config) of a model folder, a run folder or a checkpoint folder.

    A run folder gives its `model/`, or the best checkpoint when the run has not ended. `config` is config.json, or the
    same facts of a checkpoint. Raises DataError when something is missing or damaged.
    """
    place = locate(Path(path))
    if (place / CONFIG_FILE).is_file():
        _verify_model_folder(place)
        config = _read_json(place / CONFIG_FILE)
        model = build_model(config["model"])
        _load_state(model, read_safetensors(place / MODEL_FILE), place / MODEL_FILE)
        tokenizer_places = [place]
    else:
        checkpoint = read_checkpoint(place, lazy=True)
        config = {"model": checkpoint[_OUR_KEY].get("model"), "facts": _small_facts(checkpoint[_OUR_KEY])}
        if not config["model"]:
            raise DataError(f"{place} does not say what model it holds; it was not written by a run of Prospero")
        model = build_model(config["model"])
        _load_state(model, {name: t.whole() for name, t in model_state(checkpoint).items()}, place)
        tokenizer_places = [place.parent, place.parent.parent / "model"]
    return model.to(device).eval(), _find_tokenizer(tokenizer_places), config


def locate(path: Path) -> Path:
    """Return the model folder or checkpoint folder that `path` (one of them, or a run folder) stands for."""
    if not path.is_dir():
        what = "is a file" if path.is_file() else "does not exist"
        raise DataError(f"{path} {what}; give a run folder, a model folder or a checkpoint folder")
    if is_checkpoint(path):
        return path
    for folder in (path, path / "model"):
        if (folder / CONFIG_FILE).is_file() and (folder / MODEL_FILE).is_file():
            return folder
    checkpoint = find_checkpoint(path, "best")
    if checkpoint is None:
        raise DataError(
            f"{path} holds no model: neither model/{MODEL_FILE} nor a readable checkpoint under checkpoints/"
        )
    return checkpoint


def _verify_model_folder(folder: Path) -> None:
    if (folder / MANIFEST).is_file():
        verify_folder(folder)
    else:
        log.warning("%s has no %s, so damage to it would not be found", folder, MANIFEST)


# Checkpoints ----------------------------------------------------------------------------------------------------------


def is_checkpoint(path: Path) -> bool:
    """Whether `path` is the folder of a checkpoint, good or damaged."""
    return (path / STATE_FILE).is_file() or (path.is_dir() and path.name.startswith("step_"))


def read_checkpoint(path: Path, *, lazy: bool = False) -> dict[str, Any]:
    """Return the contents of a checkpoint folder with whole tensors on the CPU; DataError when it is damaged.

    All hashes are compared first, and nothing is executed. With `lazy` every tensor is a StoredTensor, not yet read.
    """
    from prospero.checkpoints import read_folder

    if not path.is_dir():
        raise DataError(f"there is no checkpoint folder {path}")
    verify_folder(path)
    if not (path / STATE_FILE).is_file():
        raise DataError(f"{path} is no checkpoint of Prospero")
    checkpoint = read_folder(path, lazy=lambda name: True)
    if not isinstance(checkpoint, dict) or _OUR_KEY not in checkpoint or "state_dict" not in checkpoint:
        raise DataError(f"{path} is no checkpoint of Prospero")
    return checkpoint if lazy else _whole(checkpoint)


def model_state(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return the model's own tensors of a checkpoint, by the model's own names."""
    state = checkpoint["state_dict"]
    return {name.removeprefix(_STATE_PREFIX): t for name, t in state.items() if name.startswith(_STATE_PREFIX)}


def find_checkpoint(run_dir: Path, which: str = "last") -> Path | None:
    """Return the `last` or `best` checkpoint of a run whose every byte is as written, None when there is none.

    `best` has the lowest val/loss, and is the last where none was validated. A damaged one is passed over, with one
    warning that names it.
    """
    candidates: list[tuple[Path, float | None]] = []
    for folder in folders.folders_of(run_dir / "checkpoints"):
        try:
            candidates.append((folder, read_manifest(folder).get(MONITOR)))
        except DataError as error:
            log.warning("passing over the checkpoint %s: %s", folder.name, error)
    if which == "best":
        candidates.sort(key=lambda found: found[1] if found[1] is not None else float("inf"))
    for folder, _ in candidates:
        try:
            verify_folder(folder)
            return folder
        except DataError as error:
            log.warning("passing over the checkpoint %s: %s", folder.name, error)
    return None


def _whole(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_whole(item) for item in value)
    return value.whole() if hasattr(value, "whole") else value


# Details --------------------------------------------------------------------------------------------------------------


def read_safetensors(path: Path) -> dict[str, "Tensor"]:
    """Return the tensors of a .safetensors file; DataError when it is missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise DataError(f"there is no {path}")
    try:
        return load_file(str(path))
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(f"{path} is damaged ({str(error).splitlines()[0]}); copy or train it again") from error


def _without_shared(state: Mapping[str, "Tensor"]) -> dict[str, "Tensor"]:
    """Return contiguous CPU copies; of tensors that are the same memory only the first."""
    seen: set[tuple[int, Any, Any]] = set()
    kept: dict[str, Tensor] = {}
    for name, tensor in state.items():
        place = (tensor.data_ptr(), tuple(tensor.shape), tuple(tensor.stride()))
        if tensor.numel() and place in seen:
            continue
        seen.add(place)
        kept[name] = tensor.detach().cpu().contiguous()
    return kept


def _load_state(model: "LanguageModel", state: Mapping[str, "Tensor"], source: Path) -> None:
    """Load `state`; a name that is left out must be another name of a tensor that is there."""
    own = model.state_dict(keep_vars=True)
    present = {id(own[name]) for name in state if name in own}
    missing = [name for name, tensor in own.items() if name not in state and id(tensor) not in present]
    unknown = [name for name in state if name not in own]
    if missing or unknown:
        odd = f"lacks {missing[0]}" if missing else f"holds {unknown[0]}, which the model does not have"
        raise DataError(f"{source} does not fit the model its settings describe: it {odd}")
    try:
        model.load_state_dict(dict(state), strict=False)
    except RuntimeError as error:
        raise DataError(f"{source} does not fit the model: {str(error).splitlines()[-1].strip()}") from error


def _find_tokenizer(folders: list[Path]) -> "Tokenizer | None":
    from prospero.data.tokenizer.tokenizer import load_tokenizer

    for folder in folders:
        if (folder / TOKENIZER_FILE).is_file():
            return load_tokenizer(folder)
    return None


def _small_facts(memory: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in memory.items() if name not in ("model", "objective")}


def _read_json(path: Path, *, missing_ok: bool = False) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if missing_ok:
            return {}
        raise DataError(f"there is no {path}") from error
    except (OSError, ValueError) as error:
        if missing_ok:
            return {}
        raise DataError(f"{path} is damaged ({error})") from error
    if not isinstance(value, dict):
        raise DataError(f"{path} is damaged: it holds no table")
    return value
