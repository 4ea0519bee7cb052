"""From composed YAML to typed settings.

Hydra composes; `register` gives it the schema of every part; `typed` turns the composed tree into the real Config
dataclasses and is the last place that sees a DictConfig.
"""

import dataclasses
import enum
import functools
import importlib
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import hydra
from hydra.core.config_store import ConfigNode, ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, MissingMandatoryValue, OmegaConf, open_dict

from prospero import registry, secret_values
from prospero.configuration import guard, listed, repeated, whole_numbers
from prospero.configuration.inherited import leave_to_source
from prospero.configuration.schema import schema
from prospero.configuration.written import join, remember_from_environment
from prospero.errors import ConfigError, suggest
from prospero.paths import config_dir
from prospero.secret_values import is_secret

IN_A_SWEEP = "PROSPERO_SWEEP"
"""The variable that a job of a sweep finds its sweep's name in."""
_stored: set[tuple[str, str, str]] = set()
"""(group, name, class) of what stands in Hydra's ConfigStore already, which lives as long as the process."""


class _LateNode(ConfigNode):
    """An entry of Hydra's store whose schema is read from source when a configuration first asks for it.

    A run asks for a sixth of all parts; reading all takes two seconds of processor time.
    """

    def __init__(self, group: str, name: str, make: Callable[[], Any]) -> None:
        self.name, self.group, self.package, self.provider = name, group, None, "prospero"
        self._made = functools.cache(lambda: OmegaConf.structured(make()))
        self._copy: DictConfig | None = None

    @property
    def node(self) -> DictConfig:  # type: ignore[override]
        """The schema; of a copy that Hydra has made for itself, what it has put there."""
        return self._made() if self._copy is None else self._copy

    @node.setter
    def node(self, value: DictConfig) -> None:
        self._copy = value


def register() -> None:
    """Put the schema of every part and of every root into Hydra's ConfigStore, under `schema/`, each once."""
    for group, parts in registry.PARTS.items():
        for name, path in parts.items():
            _store(f"schema/{group}", name, path, lambda path=path: schema(path))
    for name, verb in registry.VERBS.items():
        if verb.settings is not None:
            _store("schema", name, verb.settings, lambda verb=verb: _root_schema(verb))
    guard.watch()
    repeated.spare()


def _store(group: str, name: str, path: str, make: Callable[[], Any]) -> None:
    if (group, name, path) not in _stored:
        store = ConfigStore.instance()
        store.store(group=group, name=name, node={}, provider="prospero")
        folder = functools.reduce(lambda inner, part: inner[part], group.split("/"), store.repo)
        folder[f"{name}.yaml"] = _LateNode(group, f"{name}.yaml", make)
        _stored.add((group, name, path))


def _root_schema(verb: registry.Verb) -> Any:
    """Return the schema of a verb's root; where it extends another verb's, without the values that it inherits.

    `defaults: [train, /schema/find_lr@_here_]` lays it over what the other root has composed to, which must stay.
    """
    assert verb.settings is not None
    if verb.extends is None:
        return schema(verb.settings)
    node, other = OmegaConf.structured(schema(verb.settings)), registry.VERBS[verb.extends].settings
    assert other is not None
    for item in dataclasses.fields(schema(other)):
        node[item.name] = "???"
    return node


def composed(root: str, words: list[str], *, with_hydra: bool = False) -> DictConfig:
    """Return the composed tree of a root and the settings in `words`; raises Hydra's own errors."""
    with hydra.initialize_config_dir(str(config_dir()), job_name="prospero", version_base="1.3"):
        return hydra.compose(root, overrides=words, return_hydra_config=with_hydra)


def typed_job(root: str, words: list[str]) -> Any:
    """Return the typed settings of a root, for one who is not on a command line."""
    cfg = composed(root, words)
    leave_to_source(cfg, words, lambda given: composed(root, given, with_hydra=True))
    return typed(cfg)


def one_job(root: str, words: list[str]) -> Any:
    """Return the typed settings of a root for a single job, composed once; None where they ask for a sweep.

    A job of a sweep is never a sweep: a preset that asks for one (`hydra.mode`) would start itself without end.
    `hydra.main` would compose twice, and let hydra.* settings act that have no place here (see `guard`).
    """
    cfg = composed(root, words, with_hydra=True)
    if cfg.hydra.mode is RunMode.MULTIRUN and IN_A_SWEEP not in os.environ:
        return None
    leave_to_source(cfg, words, lambda given: composed(root, given, with_hydra=True))
    with open_dict(cfg.hydra):
        cfg.hydra.runtime.output_dir = cfg.hydra.runtime.cwd
    lookup = HydraConfig.instance()  # where ${hydra:...} looks
    before = lookup.cfg
    lookup.set_config(cfg)
    try:
        return typed(cfg)
    finally:
        lookup.cfg = before


def with_plugins(config: Any, loaded: Iterable[str]) -> Any:
    """Return the settings with every module that was imported for them in `plugins`, as running them again needs."""
    missing = [name for name in loaded if name not in config.plugins]
    return dataclasses.replace(config, plugins=[*config.plugins, *missing]) if missing else config


def typed(cfg: DictConfig) -> Any:
    """Turn a composed configuration into its real dataclasses; nobody sees a DictConfig after this.

    Raises ConfigError, with the path of the setting, for a missing value, a member of a group that is no registered
    part, or a value that a Config's `__post_init__` refuses. Values taken from the environment are remembered, so that
    `redact` writes where they came from instead of what they are.
    """
    raw = OmegaConf.to_container(cfg, resolve=False)
    secret_values.remember_environment(_texts(raw))
    with whole_numbers.taken():  # what a reference leads to is converted when it is looked up
        return _typed_node(cfg, "")


def _typed_node(node: Any, path: str) -> Any:
    if isinstance(node, DictConfig):
        light = OmegaConf.get_type(node)
        if light is not None and dataclasses.is_dataclass(light):
            part = _typed_part(node, light, path)
            # A config.yaml of before `loss` became a list holds one loss where several may now stand.
            return {registry.name_of(path, type(part)): part} if path in registry.MULTIPLE else part
        _refuse_untyped(node, path)
        return {key: _typed_node(_value(node, key, path), join(path, key)) for key in node}
    if isinstance(node, ListConfig):
        if path in registry.LISTED:
            return [_listed(_value(node, i, path), path, f"{path}[{i}]") for i in range(len(node))]
        return [_typed_node(_value(node, i, path), f"{path}[{i}]") for i in range(len(node))]
    if isinstance(node, enum.Enum):
        return real_class(type(node))[node.name]
    return node


def _listed(item: Any, path: str, place: str) -> Any:
    """Return an item of a list of parts as its settings, with those of the part that it chooses."""
    written = OmegaConf.to_container(item, resolve=True) if isinstance(item, DictConfig) else item
    node = listed.read(written, path, lambda group, name: composed("prepare", [f"{group}={name}"])[group], place)
    return _typed_node(node, place)


def _typed_part(node: DictConfig, light: Any, path: str) -> Any:
    real = real_class(light)
    names = [item.name for item in dataclasses.fields(light)]
    for extra in set(node) - set(names) - (set() if path else {"hydra"}):
        hint = suggest(join(path, extra), [join(path, name) for name in names])
        raise ConfigError(f"There is no setting '{join(path, extra)}'.{hint or ' Allowed: ' + ', '.join(names) + '.'}")
    values = {name: _typed_node(_value(node, name, path), join(path, name)) for name in names}
    try:
        return real(**values)
    except ConfigError as error:
        where = f"{path}: " if path and not str(error).startswith(path) else ""
        raise ConfigError(f"{where}{error}") from error


def _value(node: Any, key: Any, path: str) -> Any:
    try:
        value = node[key]
    except MissingMandatoryValue as error:
        raise ConfigError(f"The setting '{join(path, key)}' has no value; give it as {join(path, key)}=...") from error
    where = f"{path}[{key}]" if isinstance(node, ListConfig) else join(path, key)
    if isinstance(value, float) and math.isnan(value):
        raise ConfigError(f"{where}=nan is not a number")
    raw: Any = node._get_node(key)
    text = raw._value() if raw is not None and raw._is_interpolation() else None
    if isinstance(text, str) and "oc.env" in text:
        remember_from_environment(where, value, text)
    elif is_secret(where) and isinstance(value, str):
        secret_values.remember(value)
    return value


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in nested plain values."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value


def _refuse_untyped(node: DictConfig, path: str) -> None:
    """A group of several parts holds typed parts only: `+regularizers.zloss.weight=1` would else be swallowed."""
    if path not in registry.MULTIPLE:
        if "_target_" in node:
            raise ConfigError(f"{join(path, '_target_')} is not allowed: {guard.CHOSEN_BY_NAME}")
        return
    allowed = registry.names(path)
    for key in node:
        value = node[key]
        light = OmegaConf.get_type(value) if isinstance(value, DictConfig) else None
        if light is None or not dataclasses.is_dataclass(light):
            raise ConfigError(
                f"'{path}.{key}' is not one of the {path}.{suggest(str(key), allowed)}"
                f" Choose with {path}=[...] from: {', '.join(allowed)}."
            )


def real_class(light: type) -> Any:
    """Return the class that a schema class stands for (a plugin's class stands for itself)."""
    source = light.__dict__.get("__source__")
    if source is None:
        return light
    module, _, name = source.partition(":")
    return getattr(importlib.import_module(module), name)
