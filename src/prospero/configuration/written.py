"""A configuration as text for files: without secrets, and so that it can be run again."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf

from prospero import registry
from prospero.plain import plain
from prospero.secret_values import REDACTED, is_secret, scrub

_from_environment: dict[str, tuple[Any, str]] = {}
"""Path of a setting that was given as `${oc.env:NAME}` -> (its value, how it was given)."""


def remember_from_environment(path: str, value: Any, given: str) -> None:
    """Keep how the setting at `path` was given, so that `redact` writes that instead of what it is."""
    _from_environment[path] = (plain(value), given)


def join(path: str, key: Any) -> str:
    """Return the path of a setting inside the settings at `path`: `model.n_layers`."""
    return f"{path}.{key}" if path else str(key)


def redact(value: Any, path: str = "") -> Any:
    """Return plain values that may be written down; `path` is the setting's own, empty for the whole configuration.

    What was given as `${oc.env:NAME}` stands so again; what stands behind a name that looks like a secret's is
    `<redacted>`; and remembered secrets are taken out of other texts.
    """
    given = _from_environment.get(path)
    if given is not None and given[0] == value:
        return given[1]
    if value and path and is_secret(path):
        return REDACTED
    if isinstance(value, Mapping):
        return {key: redact(item, join(path, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [redact(item, f"{path}[{number}]") for number, item in enumerate(value)]
    return scrub(value) if isinstance(value, str) else value


def rerunnable(config: Any) -> str:
    """Return YAML that composes to exactly `config`: every part named by its schema, every value written out.

    Run it again with `python train.py --config-dir <folder of the file> --config-name config`.
    """
    verb = registry.verb_of(config)
    defaults: list[Any] = ["base", f"/schema/{verb}@_here_"]
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        members = (value or {}).items() if item.name in registry.MULTIPLE else [(None, value)]
        for key, part in members:
            name = registry.name_of(item.name, type(part))
            if name is not None:
                package = item.name if key is None else f"{item.name}.{key}"
                defaults.append(f"/schema/{item.name}/{name}@{package}")
    defaults += ["_self_"]
    header = (
        f"# Run it again: python {verb}.py --config-dir <this folder> --config-name config run_dir=<a new folder>\n"
    )
    return header + OmegaConf.to_yaml(OmegaConf.create({"defaults": defaults, **redact(_escaped(plain(config)))}))


def _escaped(value: Any, path: str = "") -> Any:
    r"""Return plain values in which a text's own `${...}` is written `\${...}`, so that it refers to nothing."""
    given = _from_environment.get(path)
    if given is not None and given[0] == value:
        return value
    if isinstance(value, Mapping):
        return {key: _escaped(item, join(path, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_escaped(item, f"{path}[{number}]") for number, item in enumerate(value)]
    return without_references(value) if isinstance(value, str) else value


def without_references(text: str) -> str:
    r"""Return a text as OmegaConf reads it back: its `${` refers to nothing when it is written `\${`."""
    return re.sub(r"(\\*)\$\{", lambda m: m[1] * 2 + "\\${", text)
