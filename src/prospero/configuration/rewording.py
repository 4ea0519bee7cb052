"""Hydra's and OmegaConf's errors, reworded: one line that says what was found, what is allowed and what to do."""

import functools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from prospero import registry
from prospero.configuration.help_text import menu
from prospero.configuration.plugins import search_folders
from prospero.errors import ConfigError, ProsperoError, suggest

ELSEWHERE = {
    "learning_rate": "optimizer.lr", "lr": "optimizer.lr", "base_lr": "optimizer.lr", "max_lr": "optimizer.lr",
    "min_lr": "schedule.min_lr_ratio", "weight_decay": "optimizer.weight_decay", "wd": "optimizer.weight_decay",
    "batch_size": "global_batch_size", "train_batch_size": "global_batch_size",
    "per_device_train_batch_size": "micro_batch_size", "device_batch_size": "micro_batch_size",
    "gradient_accumulation_steps": "micro_batch_size", "accumulate_grad_batches": "micro_batch_size",
    "epochs": "max_steps", "max_epochs": "max_steps", "num_epochs": "max_steps", "num_train_epochs": "max_steps",
    "max_epoch": "max_steps", "max_iters": "max_steps", "steps": "max_steps", "num_steps": "max_steps",
    "max_time": "max_minutes", "block_size": "seq_len", "context_length": "seq_len", "sequence_length": "seq_len",
    "max_length": "seq_len", "n_layer": "model.n_layers", "num_layers": "model.n_layers",
    "num_hidden_layers": "model.n_layers", "depth": "model.n_layers", "n_head": "model.n_heads",
    "num_heads": "model.n_heads", "num_attention_heads": "model.n_heads", "n_embd": "model.d_model",
    "hidden_size": "model.d_model", "d_hidden": "model.d_model", "embed_dim": "model.d_model",
    "intermediate_size": "model.d_ff", "grad_clip": "trainer.max_grad_norm", "max_norm": "trainer.max_grad_norm",
    "gradient_clip_val": "trainer.max_grad_norm", "clip_grad": "trainer.max_grad_norm",
    "gpus": "trainer.devices", "num_gpus": "trainer.devices", "nproc": "trainer.devices",
    "num_workers": "data.num_workers", "dataset": "data", "optim": "optimizer", "scheduler": "schedule",
    "lr_scheduler": "schedule", "run_name": "name", "output_dir": "run_dir", "out_dir": "run_dir",
    "eval_interval": "trainer.val_every_steps", "eval_every": "trainer.val_every_steps",
    "val_check_interval": "trainer.val_every_steps", "eval_steps": "trainer.val_every_steps",
    "log_interval": "trainer.log_every_steps", "logging_steps": "trainer.log_every_steps",
    "save_interval": "callbacks.checkpoints.every_steps", "save_steps": "callbacks.checkpoints.every_steps",
    "temperature": "sampling.temperature", "top_k": "sampling.top_k", "top_p": "sampling.top_p",
    "max_new_tokens": "sampling.max_new_tokens", "samples": "sampling.n", "num_samples": "sampling.n",
    "num_return_sequences": "sampling.n", "num_beams": "sampling.beams", "input": "data.path", "ckpt_path": "resume",
    "resume_from_checkpoint": "resume",
}  # fmt: skip
"""What other programs call a setting -> what it is called here."""
OTHER_VALUES = {
    "bf16_mixed": "bf16", "bfloat16": "bf16",  "fp32": "float32", "32": "float32",
    "32_true": "float32", "fp16": "float16", "half": "float16", "16_mixed": "float16", "16": "float16", "cuda": "gpu",
    "rmsnorm": "rms", "layernorm": "layer",
}  # fmt: skip
"""What other programs call a value -> what it is called here, where the setting has it."""


@contextmanager
def worded(root: str, given: list[str]) -> Iterator[None]:
    """Raise what Hydra and OmegaConf raise inside as ConfigError with one readable line; other errors pass."""
    try:
        yield
    except ProsperoError:
        raise
    except Exception as error:
        line = explain(error, root, given)
        if line is None:
            raise
        raise ConfigError(line) from error


def explain(error: Exception, root: str, given: list[str]) -> str | None:
    """Return one line for an error of composition, or None when the error is not about the configuration."""
    if isinstance(error, ValueError) and str(error).startswith("Config group override must be"):
        return "A group is given the name of a preset, or [several,names]; see --help for the groups and their presets"
    if isinstance(error, YAMLError):  # a text given for settings of several is read as YAML
        where = str(error).splitlines()[0]
        return f"A value that stands for several settings cannot be read ({where}); give each as group.setting=value"
    if not isinstance(error, HydraException | OmegaConfBaseException):
        return None
    text = str(error) if error.__cause__ is None else f"{error}\n{error.__cause__}"
    for pattern, reword in REWORDED:
        found = re.search(pattern, text, flags=re.DOTALL)
        if found:
            return reword(found, root, given)
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("object_type=")]
    return "; ".join(lines)


def _unknown_setting(found: re.Match[str], root: str, given: list[str]) -> str:
    return _no_setting(found[1].strip().removeprefix("+").removeprefix("~").split("=", 1)[0], root, given)


def _no_setting(key: str, root: str, given: list[str]) -> str:
    key = key.partition("@")[0]
    of_hydra = key.startswith("hydra.")
    composed = _composed_without(root, given, of_hydra=of_hydra)
    if composed is None:
        return f"There is no setting '{key}'."
    keys = [] if of_hydra else _all_keys(composed)
    *parents, last = key.split(".")
    node: Any = composed
    for depth, name in enumerate(parents):
        if not isinstance(node, DictConfig) or name not in node:
            names = list(node) if isinstance(node, DictConfig) else []
            group = ".".join(parents[:depth])
            if group in registry.MULTIPLE and name in registry.names(group):
                chosen = ",".join([*map(str, names), name])
                return f"'{group}.{name}' is not among the chosen {group}; choose it too: {group}=[{chosen}]"
            return f"There is no setting '{key}'." + _hint(name, names, ".".join(parents[:depth]), keys, last)
        node = node._get_node(name)
    names = [str(name) for name in node if name != "_target_"] if isinstance(node, DictConfig) else []
    if last in names:
        return f"'{key}' has no such entries yet; add them with a +: +{key}=..."
    return f"There is no setting '{key}'." + _hint(last, names, ".".join(parents), keys, last)


def _hint(word: str, names: list[Any], parent: str, keys: list[str], last: str) -> str:
    prefix = f"{parent}." if parent else ""
    meant = ELSEWHERE.get(last.lower().replace("-", "_"), "")
    if meant in keys and word not in names:
        return f" Did you mean '{meant}'?"
    same = [key for key in keys if key.rpartition(".")[2] == last]
    near = suggest(word, [str(name) for name in names])
    if near:
        return near.replace("'", f"'{prefix}", 1)
    if same:
        return f" Did you mean '{same[0]}'?"
    return f" Allowed {'in ' + parent if parent else 'here'}: {', '.join(map(str, names))}." if names else ""


def _composed_without(root: str, given: list[str], *, of_hydra: bool = False) -> DictConfig | None:
    """Compose again with the choices of groups only: what exists, whatever the misspelt words were."""
    groups = set(registry.PARTS) | {"experiment", "debug", "hydra/sweeper", "hydra/launcher"}
    words = [word for word in given if not word.startswith("-")]
    chosen = [word for word in words if word.split("=", 1)[0].lstrip("+") in groups and "=" in word]
    single = tuple(word for word in chosen if "," not in word or "[" in word)
    parts = tuple((group, name, part) for group, parts in registry.ADDED.items() for name, part in parts.items())
    return _composed_once(root, single, of_hydra, (tuple(search_folders()), parts))


@functools.lru_cache(maxsize=16)
def _composed_once(root: str, chosen: tuple[str, ...], of_hydra: bool, plugins: object) -> DictConfig | None:
    """Compose for `_composed_without`; `plugins` is what else the answer depends on."""
    from hydra.core.global_hydra import GlobalHydra

    from prospero.configuration.composition import composed

    GlobalHydra.instance().clear()
    for words in (chosen, ()):
        try:
            return composed(root, list(words), with_hydra=of_hydra)
        except (HydraException, OmegaConfBaseException, ConfigError):
            continue
    return None


def _all_keys(node: DictConfig, prefix: str = "") -> list[str]:
    keys: list[str] = []
    for name in node:
        keys.append(f"{prefix}{name}")
        child = node._get_node(name)
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_missing():
            keys += _all_keys(child, f"{prefix}{name}.")
    return keys


def _no_such_choice(found: re.Match[str], root: str, given: list[str]) -> str:
    group, _, name = found[1].rpartition("/")
    options = menu(group) if not group.startswith("hydra/") else _choices_of_hydra(group)
    if not group:
        return f"There is no configuration '{name}'."
    return f"There is no {group} '{name}'.{suggest(name, options)} Choices of {group}: {', '.join(options)}."


def _choices_of_hydra(group: str) -> list[str]:
    """Return the choices of one of Hydra's own groups, ours among them."""
    from hydra.core.config_store import ConfigStore

    node: Any = ConfigStore.instance().repo
    for name in group.split("/"):
        node = node.get(name, {})
    return sorted(name.removesuffix(".yaml") for name in node)


def _wrong_type(found: re.Match[str], root: str, given: list[str]) -> str:
    key, _, value = found[1].strip().lstrip("+").partition("=")
    return _wrong_value(key, value, found[2].strip(), root, given)


def _in_a_preset(found: re.Match[str], root: str, given: list[str]) -> str:
    reason = found[2].strip()
    key = re.search(r"full_key: (\S+)", reason)
    if key is None:
        return f"In '{found[1]}': {reason.splitlines()[0]}"
    value = re.search(r"[Vv]alue '(.*?)'", reason)
    shown = "..." if value is None else "null" if value[1] == "None" else value[1]
    return f"In '{found[1]}': {_wrong_value(key[1], shown, reason, root, given)}"


def _wrong_value(key: str, value: str, reason: str, root: str, given: list[str]) -> str:
    """Say what `reason`, OmegaConf's, has against a value."""
    kinds = {"Integer": "a whole number", "Float": "a number", "Boolean": "true or false", "String": "text"}
    wanted = re.search(r"could not be converted to (\w+)", reason)
    if wanted:
        return f"{key}={value} is of the wrong type: {key} is {kinds.get(wanted[1], wanted[1])}."
    choices = re.search(r"Invalid value '([^']*)', expected one of \[(.*?)\]", reason)
    if choices:
        allowed = [item.strip() for item in choices[2].split(",")]
        other = OTHER_VALUES.get(choices[1].lower().replace("-", "_"))
        near = f" Did you mean '{other}'?" if other in allowed else suggest(choices[1], allowed)
        return f"{key}={choices[1]} is not possible.{near} Allowed: {', '.join(allowed)}."
    unknown = re.search(r"Key '([^']+)' (?:not in|is not in struct)|has no attribute '([^']+)'", reason)
    if unknown:
        return _no_setting(key, root, given)
    if "is not a ListConfig" in reason:
        return f"{key}={value} is of the wrong type: {key} is a list, write {key}=[{value}]."
    if (
        "Incompatible value 'None'" in reason
        or "not Optional" in reason
        or "is not nullable" in reason
        or "non-Optional" in reason
    ):
        return f"{key}={value}: {key} cannot be null."
    return f"{key}={value} is not possible: {reason.splitlines()[0]}"


def _unreadable(found: re.Match[str], root: str, given: list[str]) -> str:
    words = [word for word in given if not word.startswith("-") and "=" not in word]
    if words:
        return f"'{words[0]}' is not a setting; settings are written name=value, for example max_steps=100."
    return (
        f"Cannot read {found[0].splitlines()[0].strip()}; quote values that hold special characters: \"name='value'\"."
    )


def _interpolation(found: re.Match[str], root: str, given: list[str]) -> str:
    return f"A value refers to something that is not there: {found[0].splitlines()[0].strip()}"


def _exists_already(found: re.Match[str], root: str, given: list[str]) -> str:
    return f"'{found[1]}' exists already; write {found[1]}=... without the +."


def _two_choices(found: re.Match[str], root: str, given: list[str]) -> str:
    return f"The group '{found[1]}' is chosen twice; give it once."


def _several_values(found: re.Match[str], root: str, given: list[str]) -> str:
    key, _, value = found[1].partition("=")
    return f"{key}={value} gives several values; to sweep over them add -m, a list is written {key}=[{value}]"


def _no_such_root(found: re.Match[str], root: str, given: list[str]) -> str:
    return f"There is no configuration '{found[1]}'; --config-name names a file of --config-dir, without .yaml"


REWORDED: list[tuple[str, Any]] = [
    (r"Ambiguous value for argument '([^\n]*)'\n", _several_values),
    (r"Cannot find primary config '([^']*)'", _no_such_root),
    (r"(?s)Error merging override (.*?)\n(.*)", _wrong_type),
    (r"(?s)In '([^']+)': \w+ raised while composing config:\n(.*)", _in_a_preset),
    (r"Could not override '([^']+)'", _unknown_setting),
    (r"Could not append to config\. An item is already at '([^']+)'", _exists_already),
    (r"Could not (?:find|load) '([^']+)'(.*)", _no_such_choice),
    (r"Multiple values for ([\w/]+)\.", _two_choices),
    (r"Error parsing override .*|(?:mismatched|extraneous) input.*|missing EQUAL.*|no viable alt.*", _unreadable),
    (r"(?:Environment variable|Interpolation key|InterpolationKeyError).*", _interpolation),
]  # fmt: skip
"""Pattern in the library's message -> the function that words it again."""
