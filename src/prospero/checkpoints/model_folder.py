"""What a model folder holds, and how a model comes back from one or from a checkpoint. Needs torch, not Lightning.

Nothing here executes what a file says: tensors are read by safetensors, all else is JSON, and the architecture is
rebuilt from plain values through the table of parts. Every folder has a manifest with the SHA-256 of its files, which
are compared whenever it is read.

    <run>/model/     model.safetensors, config.json, tokenizer.json: what is used, shared, converted
    <run>/adapter/   adapter.safetensors, config.json: what an adapter has added to it, alone
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prospero import registry
from prospero.checkpoints import folders
from prospero.checkpoints.manifest import MANIFEST, sign_folder, verify_folder
from prospero.checkpoints.run_checkpoints import (
    Checkpoint,
    RunCheckpoints,
    check_types,
    is_checkpoint,
    readable_damage,
)
from prospero.errors import ConfigError, DataError, suggest
from prospero.log import log
from prospero.paths import fsync_file, write_text
from prospero.plain import from_plain, plain
from prospero.runs.folder import RunFolder

if TYPE_CHECKING:
    from torch import Tensor

    from prospero.data.tokenizer.tokenizer import Tokenizer
    from prospero.model.adapters.base import Adapter
    from prospero.model.base import LanguageModel

FORMAT_VERSION = 1
"""Of the description of a model."""
MODEL_FILE, CONFIG_FILE, TOKENIZER_FILE = "model.safetensors", "config.json", "tokenizer.json"
ADAPTER_FILE = "adapter.safetensors"
"""In the place of MODEL_FILE where only what an adapter has added is kept: no model by itself."""
EVALUATED_WEIGHTS = "the weights that were validated, an average of those of training"
_SIZES = ("vocab_size", "max_seq_len")
NO_ADAPTER = "none"
"""The adapter that changes nothing and is not described."""
LAST_WEIGHTS = "the weights of the last step, not the average that was validated"


def describe_model(config: Any, *, vocab_size: int, max_seq_len: int, adapter: Any = None) -> dict[str, Any]:
    """Return all that `build_model` needs, as plain values: the part's name in the table, settings and sizes.

    `adapter` are the settings of one that was applied, or None.
    """
    described = {"format_version": FORMAT_VERSION, **_described("model", config)}
    described |= {"vocab_size": vocab_size, "max_seq_len": max_seq_len}
    found = None if adapter is None else _described("adapter", adapter)
    return described if found is None or found["name"] == NO_ADAPTER else {**described, "adapter": found}


def _described(group: str, config: Any) -> dict[str, Any]:
    name = registry.name_of(group, type(config))
    if name is None:
        kind = type(config)
        raise DataError(
            f"{kind.__module__}:{kind.__qualname__} is not in the table of parts, so a model saved with it could not "
            f"be loaded; register it: prospero.registry.register('{group}', <name>, <class>)"
        )
    return {"name": name, "settings": plain(config)}


def build_model(description: Mapping[str, Any]) -> "LanguageModel":
    """Return the untrained model that `describe_model` described, its adapter applied.

    Raises DataError when its kind, or that of its adapter, is unknown here.
    """
    settings = model_settings(description)
    with _buildable():
        model: LanguageModel = settings.build(**{name: description[name] for name in _SIZES})
        adapter = adapter_of(description)
        if adapter is not None:
            adapter.apply(model)
        return model


def model_settings(description: Mapping[str, Any]) -> Any:
    """Return the settings of the model that `describe_model` described; DataError when there is no such model."""
    version = description.get("format_version")
    if version != FORMAT_VERSION:
        raise DataError(f"the model is of format version {version}; this Prospero reads version {FORMAT_VERSION}")
    for name in _SIZES:
        size = description.get(name)
        if type(size) is not int or not 1 <= size < 2**31:
            raise DataError(f"the model's {name} is {size}; a whole number from 1 to 2^31 was written there")
    return _settings_of("model", description)


def adapter_of(description: Mapping[str, Any]) -> "Adapter | None":
    """Return the adapter that was applied to a described model, or None."""
    found = description.get("adapter")
    if found is None:
        return None
    if not isinstance(found, Mapping):
        raise DataError(f"the model's adapter is {str(found)[:60]!r}, no table")
    return _settings_of("adapter", found).build()


def merge_adapter(model: "LanguageModel", description: Mapping[str, Any]) -> dict[str, Any]:
    """Fold the adapter of a described model into its weights, in place; return the description without it."""
    adapter = adapter_of(description)
    if adapter is not None:
        adapter.merge(model)
    return {name: value for name, value in description.items() if name != "adapter"}


def _settings_of(group: str, description: Mapping[str, Any]) -> Any:
    name, settings = str(description.get("name", "")), description.get("settings")
    try:
        kind: Any = registry.config_class(group, name)
    except ConfigError as error:
        known = registry.names(group)
        raise DataError(
            f"there is no {group} '{name}'.{suggest(name, known)} If a plugin brings it, name it in plugins="
        ) from error
    if not isinstance(settings, Mapping):
        raise DataError(f"the {group}'s settings are {str(settings)[:60]!r}, no table")
    with _buildable(group):
        return from_plain(kind, settings)


@contextmanager
def _buildable(group: str = "model") -> Iterator[None]:
    """Turn what settings of no real part run into, into a DataError."""
    try:
        yield
    except (LookupError, TypeError, AttributeError, ArithmeticError, MemoryError, RuntimeError) as error:
        raise DataError(f"the {group}'s settings describe none that can be built ({str(error)[:120]})") from error


def save_model_folder(
    folder: Path,
    state: Mapping[str, "Tensor"],
    tokenizer: "Tokenizer | None",
    description: Mapping[str, Any],
    *,
    facts: Mapping[str, Any] | None = None,
    file: str = MODEL_FILE,
) -> Path:
    """Write `state` (whole tensors by the model's own names), the tokenizer and config.json, whole or not at all.

    `description` is that of `describe_model`; `facts` are further plain values (step, metrics, data fingerprint).
    Tensors that share memory are stored once. A manifest with the hashes of the files comes last.
    """
    from safetensors.torch import save_file

    temporary = folders.unfinished(folder)
    temporary.mkdir(parents=True)
    try:
        save_file(_without_shared(state), str(temporary / file), metadata={"format": "pt"})
        os.chmod(temporary / file, 0o644)
        fsync_file(temporary / file)
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


def load_model(
    source: "str | os.PathLike[str] | Checkpoint", *, device: Any = "cpu", raw: bool = False, merged: bool = True
) -> "tuple[LanguageModel, Tokenizer | None, dict[str, Any]]":
    """Return (model in evaluation mode, tokenizer, config) of a model folder, a run folder or a checkpoint.

    A run folder gives its `model/`, or the best checkpoint when the run has not ended. A checkpoint gives the weights
    that were validated (an average, where the run kept one), with `raw` those of the last step; which, the log says.
    An adapter comes folded into the weights, unless `merged` is False: then it stands beside them as in training.
    `config` is config.json, or the same facts of a checkpoint. Raises DataError when something is missing or damaged.
    """
    place = source if isinstance(source, Checkpoint) else locate(Path(source), raw=raw)
    if isinstance(place, Checkpoint):
        model, config = _model_of_checkpoint(place, raw=raw)
    else:
        verify_model_folder(place)
        config = read_description(place)
        with readable_damage(place / CONFIG_FILE):
            model = build_model(config["model"])
        load_state(model, read_safetensors(place / MODEL_FILE), place / MODEL_FILE)
    if merged:
        config = {**config, "model": merge_adapter(model, config["model"])}
    return model.to(device).eval(), find_tokenizer(place), config


def _model_of_checkpoint(checkpoint: Checkpoint, *, raw: bool) -> "tuple[LanguageModel, dict[str, Any]]":
    memory = checkpoint.memory
    if not memory.get("model"):
        raise DataError(f"{checkpoint.path} does not say what model it holds; it was not written by a run of Prospero")
    facts = {name: value for name, value in memory.items() if name not in ("model", "objective")}
    with readable_damage(checkpoint.path):
        model, state = build_model(memory["model"]), checkpoint.model_state()
    evaluated = checkpoint.evaluation_weights()
    if evaluated is not None:
        facts["weights"] = LAST_WEIGHTS if raw else EVALUATED_WEIGHTS
        log.info("%s: %s", checkpoint.path.name, facts["weights"])
    if evaluated is not None and not raw:
        # A parameter may have several names in the state (tied weights): each of them stands for the one average.
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        if evaluated.keys() != set(names.values()):
            odd = min(evaluated.keys() ^ set(names.values()))
            raise DataError(f"{checkpoint.path}: the validated weights are of another model; they differ in {odd}")
        own = model.state_dict(keep_vars=True)
        state |= {name: evaluated[names[id(tensor)]] for name, tensor in own.items() if id(tensor) in names}
    load_state(model, {name: tensor.whole() for name, tensor in state.items()}, checkpoint.path)
    return model, {"model": memory["model"], "facts": facts}


def locate(path: Path, *, raw: bool = False) -> Path | Checkpoint:
    """Return the model folder, or the checkpoint, that `path` (one of them, or a run folder) stands for.

    A model folder holds one kind of weights, so `raw` looks for checkpoints only. Raises DataError when there is none.
    """
    if not path.is_dir():
        what = "is a file" if path.is_file() else "does not exist"
        raise DataError(f"{path} {what}; give a run folder, a model folder or a checkpoint folder")
    if is_checkpoint(path):
        return Checkpoint.open(path)
    run = RunFolder(path)
    for folder in () if raw else (path, run.model):
        if (folder / CONFIG_FILE).is_file() and (folder / MODEL_FILE).is_file():
            return folder
    checkpoint = RunCheckpoints(run.checkpoints).best()
    if checkpoint is None:
        neither = "no" if raw else f"neither model/{MODEL_FILE} nor a"
        raise DataError(f"{path} holds no model: {neither} readable checkpoint under {run.checkpoints.name}/")
    return checkpoint


def read_description(folder: Path, *, checked: bool = True) -> dict[str, Any]:
    """Return {model, facts}, the config.json of a model folder; DataError when it is damaged, or not `checked` so."""
    config = {"facts": {}, **read_json(folder / CONFIG_FILE)}
    if checked:
        check_types(config, {"model": Mapping, "facts": Mapping}, folder / CONFIG_FILE)
        if "model" not in config:
            raise DataError(f"{folder / CONFIG_FILE} describes no model of Prospero")
    return config


def verify_model_folder(folder: Path) -> None:
    """Compare the files of a model folder with its manifest; DataError at a difference."""
    if (folder / MANIFEST).is_file():
        verify_folder(folder)
    else:
        log.warning("%s has no %s, so damage to it would not be found", folder, MANIFEST)


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


def load_state(model: "LanguageModel", state: Mapping[str, "Tensor"], source: Path) -> None:
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


def find_tokenizer(place: Path | Checkpoint) -> "Tokenizer | None":
    """Return the tokenizer of a model folder or of a checkpoint's run; None where there is none."""
    from prospero.data.tokenizer.tokenizer import load_tokenizer

    of_run = isinstance(place, Checkpoint)
    for folder in [place.path.parent, RunFolder(place.path.parent.parent).model] if of_run else [place]:
        if (folder / TOKENIZER_FILE).is_file():
            return load_tokenizer(folder)
    return None


def read_json(path: Path, advice: str = "") -> dict[str, Any]:
    """Return the table in a JSON file; DataError, which ends with `advice`, when it is damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is damaged ({error}){advice}") from error
    if not isinstance(value, dict):
        raise DataError(f"{path} is damaged: it holds no table{advice}")
    return value
