"""From composed YAML to typed settings, and back to plain values.

Hydra composes; `register` gives it the schema of every part; `typed` turns the composed tree into the real Config
dataclasses and is the last place that sees a DictConfig; `plain` and `rerunnable` turn them into values for files.
"""

import dataclasses
import enum
import functools
import importlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, ListConfig, MissingMandatoryValue, OmegaConf

from prospero import registry, secret_values
from prospero.configuration.schema import schema
from prospero.errors import ConfigError, suggest
from prospero.plain import plain
from prospero.secret_values import REDACTED, is_secret, scrub

_from_environment: dict[str, tuple[Any, str]] = {}
"""Path of a setting that was given as `${oc.env:NAME}` -> (its value, how it was given)."""


def register() -> None:
    """Put the schema of every part and of every root into Hydra's ConfigStore, under `schema/`."""
    store = ConfigStore.instance()
    for group, parts in registry.PARTS.items():
        for name, path in parts.items():
            store.store(group=f"schema/{group}", name=name, node=schema(path), provider="prospero")
    for verb, path in registry.ROOTS.items():
        store.store(group="schema", name=verb, node=schema(path), provider="prospero")
    _guard_composition()


def compose(verb: str, settings: list[str] | None = None) -> Any:
    """Return the typed configuration of `verb` with `settings` as on the command line, for notebooks and scripts.

        config = compose("train", ["model=tiny", "max_steps=20"])

    Raises ConfigError with the same one line that the command line would print.
    """
    import hydra

    from prospero import paths
    from prospero.configuration import rewording

    register()
    given = list(settings or [])
    try:
        with hydra.initialize_config_dir(str(paths.config_dir()), version_base="1.3"):
            return typed(hydra.compose(verb, overrides=given))
    except ConfigError:
        raise
    except Exception as error:
        line = rewording.explain(error, verb, given)
        if line is None:
            raise
        raise ConfigError(line) from error


def _guard_composition() -> None:
    """Have every configuration that Hydra composes checked before Hydra builds anything that it names."""
    compose_now = ConfigLoaderImpl.load_configuration
    if hasattr(compose_now, "guarded"):
        return

    @functools.wraps(compose_now)
    def load_configuration(self: ConfigLoaderImpl, *args: Any, **kwargs: Any) -> DictConfig:
        cfg = compose_now(self, *args, **kwargs)
        refuse_foreign_targets(OmegaConf.to_container(cfg, resolve=False))
        return cfg

    load_configuration.guarded = True  # type: ignore[attr-defined]
    ConfigLoaderImpl.load_configuration = load_configuration


def refuse_foreign_targets(cfg: Any, path: str = "") -> None:
    """Raise ConfigError where a composed configuration (as plain values) names code to run that nobody registered.

    `_target_` is Hydra's word for "build this": Hydra builds its launcher, its sweeper and its callbacks by it, and
    what `hydra.job_logging` names as `class` or `()`. Allowed are the names that Hydra's own and installed plugins
    have put into the ConfigStore under hydra/, Hydra's two callbacks, and the handlers of the standard library. Our
    own parts are chosen by name and have none.
    """
    if isinstance(cfg, list):
        for number, item in enumerate(cfg):
            refuse_foreign_targets(item, f"{path}[{number}]")
        return
    if not isinstance(cfg, Mapping):
        return
    in_logging = path.startswith(("hydra.job_logging", "hydra.hydra_logging"))
    for key, value in cfg.items():
        where = _join(path, key)
        if key == "_target_" and not (path.startswith("hydra.") and value in _registered_targets()):
            what = f"'{value}' is no registered plugin of Hydra" if path.startswith("hydra.") else CHOSEN_BY_NAME
            raise ConfigError(f"{where} is not allowed: {what}")
        if in_logging and (key == "()" or (key == "class" and value not in LOGGING_CLASSES)):
            raise ConfigError(f"{where}={value} is not allowed; choose from {', '.join(LOGGING_CLASSES)}")
        refuse_foreign_targets(value, where)


CHOSEN_BY_NAME = "parts are chosen by name, see `ls conf`"
LOGGING_CLASSES = ("logging.StreamHandler", "logging.FileHandler", "logging.NullHandler", "logging.Formatter")
_HYDRA_CALLBACKS = ("LogJobReturnCallback", "PickleJobInfoCallback")


def _registered_targets() -> set[str]:
    """Every `_target_` that a plugin has registered under hydra/, exactly as written there."""
    found = {f"hydra.experimental.callbacks.{name}" for name in _HYDRA_CALLBACKS}

    def walk(folder: Mapping[str, Any]) -> None:
        for item in folder.values():
            if isinstance(item, Mapping):
                walk(item)
            else:
                collect(OmegaConf.to_container(item.node, resolve=False))

    def collect(node: Any) -> None:
        if isinstance(node, Mapping):
            if isinstance(node.get("_target_"), str):
                found.add(node["_target_"])
            for item in node.values():
                collect(item)

    walk(ConfigStore.instance().repo.get("hydra", {}))
    return found


def load_plugins(modules: list[str]) -> list[Path]:
    """Import the user's modules so that their parts register; return the `conf/` folders found beside them."""
    if modules and "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    folders = []
    for name in modules:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name.partition(".")[0] and error.name != name:
                raise
            raise ConfigError(
                f"plugins: there is no module '{name}'; name an installed module or a .py file of the current folder"
            ) from error
        folder = Path(module.__file__).resolve().parent / "conf" if module.__file__ else None
        if folder and folder.is_dir():
            folders.append(folder)
    for group, parts in registry.ADDED.items():
        for name, config_class in parts.items():
            ConfigStore.instance().store(group=f"schema/{group}", name=name, node=config_class, provider="plugin")
            package = f"{group}.{name}" if group in registry.MULTIPLE else None
            ConfigStore.instance().store(group=group, name=name, node=config_class, package=package, provider="plugin")
    return folders


def typed(cfg: DictConfig) -> Any:
    """Turn a composed configuration into its real dataclasses; nobody sees a DictConfig after this.

    Raises ConfigError, with the path of the setting, for a missing value, a member of a group that is no registered
    part, or a value that a Config's `__post_init__` refuses. Values taken from the environment are remembered, so that
    `redact` writes where they came from instead of what they are.
    """
    raw = OmegaConf.to_container(cfg, resolve=False)
    secret_values.remember_environment(_texts(raw))
    return _typed_node(cfg, "")


def _typed_node(node: Any, path: str) -> Any:
    if isinstance(node, DictConfig):
        light = OmegaConf.get_type(node)
        if light is not None and dataclasses.is_dataclass(light):
            part = _typed_part(node, light, path)
            # A config.yaml of before `loss` became a list holds one loss where several may now stand.
            return {registry.name_of(path, type(part)): part} if path in registry.MULTIPLE else part
        _refuse_untyped(node, path)
        return {key: _typed_node(_value(node, key, path), _join(path, key)) for key in node}
    if isinstance(node, ListConfig):
        return [_typed_node(_value(node, i, path), f"{path}[{i}]") for i in range(len(node))]
    if isinstance(node, enum.Enum):
        return real_class(type(node))[node.name]
    return node


def _typed_part(node: DictConfig, light: Any, path: str) -> Any:
    real = real_class(light)
    names = [item.name for item in dataclasses.fields(light)]
    for extra in set(node) - set(names):
        hint = suggest(_join(path, extra), [_join(path, name) for name in names])
        raise ConfigError(f"There is no setting '{_join(path, extra)}'.{hint or ' Allowed: ' + ', '.join(names) + '.'}")
    values = {name: _typed_node(_value(node, name, path), _join(path, name)) for name in names}
    try:
        return real(**values)
    except ConfigError as error:
        where = f"{path}: " if path and not str(error).startswith(path) else ""
        raise ConfigError(f"{where}{error}") from error


def _value(node: Any, key: Any, path: str) -> Any:
    try:
        value = node[key]
    except MissingMandatoryValue as error:
        raise ConfigError(
            f"The setting '{_join(path, key)}' has no value; give it as {_join(path, key)}=..."
        ) from error
    where = f"{path}[{key}]" if isinstance(node, ListConfig) else _join(path, key)
    raw: Any = node._get_node(key)
    text = raw._value() if raw is not None and raw._is_interpolation() else None
    if isinstance(text, str) and "oc.env" in text:
        _from_environment[where] = (plain(value), text)
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
            raise ConfigError(f"{_join(path, '_target_')} is not allowed: {CHOSEN_BY_NAME}")
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


def _join(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)


def real_class(light: type) -> Any:
    """Return the class that a schema class stands for (a plugin's class stands for itself)."""
    source = light.__dict__.get("__source__")
    if source is None:
        return light
    module, _, name = source.partition(":")
    return getattr(importlib.import_module(module), name)


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
        return {key: redact(item, _join(path, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [redact(item, f"{path}[{number}]") for number, item in enumerate(value)]
    return scrub(value) if isinstance(value, str) else value


def rerunnable(config: Any, verb: str) -> str:
    """Return YAML that composes to exactly `config`: every part named by its schema, every value written out.

    Run it again with `python train.py --config-dir <folder of the file> --config-name config`.
    """
    defaults: list[Any] = [f"/schema/{verb}@_here_"]
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        members = (value or {}).items() if item.name in registry.MULTIPLE else [(None, value)]
        for key, part in members:
            name = registry.name_of(item.name, type(part))
            if name is not None:
                package = item.name if key is None else f"{item.name}.{key}"
                defaults.append(f"/schema/{item.name}/{name}@{package}")
    defaults += ["_self_", {"override hydra/launcher": "process"}, {"override hydra/sweeper": "grid"}]
    header = (
        f"# Run it again: python {verb}.py --config-dir <this folder> --config-name config run_dir=<a new folder>\n"
    )
    return header + OmegaConf.to_yaml(OmegaConf.create({"defaults": defaults, **redact(plain(config)), "hydra": HYDRA}))


HYDRA = {
    "run": {"dir": "."},
    "output_subdir": None,
    "job": {"chdir": False},
    "sweep": {"dir": "${outputs_dir}/sweeps/${now:%Y-%m-%d_%H-%M-%S}", "subdir": "${hydra.job.num}"},
}
"""Hydra makes no folder of its own for a single run: the run folder is Prospero's, the same for every rank."""
