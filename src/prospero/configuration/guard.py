"""What a configuration may not do: name code, or move Hydra's own machinery. Watched in every composition of conf/.

A config.yaml or a preset may come from anybody. Hydra would import the packages of its search path, build what
`_target_` names, open the files of a logging configuration, and make and enter folders. Prospero needs none of it:
parts are chosen by name, and the run folder and the log are its own. So what could only do harm, or nothing, is
refused. Other programs of the same process that compose with Hydra are left alone.
"""

import functools
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.conf import HydraConf
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from prospero.configuration import whole_numbers
from prospero.configuration.written import join
from prospero.errors import ConfigError
from prospero.paths import config_dir

CHOSEN_BY_NAME = "parts are chosen by name, see `ls conf`"
NO_LOGGING = {"version": 1, "root": None, "disable_existing_loggers": False}
"""What `hydra/job_logging: none` and `hydra/hydra_logging: none` compose to."""
LOGGING = ("job_logging", "hydra_logging")
WITHOUT_EFFECT = (
    "run.dir", "output_subdir", "verbose", "callbacks", "job.chdir", "job.env_set", "job.env_copy", "sweep.subdir",
)  # fmt: skip
"""Settings of hydra.* that stay as conf/base.yaml and Hydra have them."""
_BASIC_LAUNCHER = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
INSTEAD = {
    "run.dir": "; the folder of a run is run_dir=",
    "sweep.subdir": "; the folder of a sweep is hydra.sweep.dir=",
}


def watch() -> None:
    """Have what Hydra composes from conf/ checked, before Hydra imports, builds or opens anything that it names."""
    if hasattr(ConfigLoaderImpl.load_configuration, "watched"):
        return
    compose_now, read_search_path = ConfigLoaderImpl.load_configuration, ConfigLoaderImpl._process_config_searchpath

    @functools.wraps(compose_now)
    def load_configuration(self: ConfigLoaderImpl, config_name: str | None, *args: Any, **kwargs: Any) -> DictConfig:
        with whole_numbers.taken() if _is_ours(self) else nullcontext():
            cfg = compose_now(self, config_name, *args, **kwargs)
        if _is_ours(self):
            composed = OmegaConf.to_container(cfg, resolve=False)
            refuse_foreign_targets(composed)
            if config_name is not None:
                refuse_without_effect(composed)
        return cfg

    @functools.wraps(read_search_path)
    def _process_config_searchpath(
        self: ConfigLoaderImpl, config_name: str | None, parsed_overrides: list[Any], repo: Any
    ) -> None:
        if _is_ours(self):
            loaded = None if config_name is None else repo.load_config(config_path=config_name)
            in_file = OmegaConf.select(loaded.config, "hydra.searchpath") if loaded is not None else None
            on_line = [word.value() for word in parsed_overrides if word.key_or_group == "hydra.searchpath"]
            for folders in [in_file, *on_line]:
                refuse_packages(folders)
        read_search_path(self, config_name, parsed_overrides, repo)

    load_configuration.watched = True  # type: ignore[attr-defined]
    ConfigLoaderImpl.load_configuration = load_configuration
    ConfigLoaderImpl._process_config_searchpath = _process_config_searchpath


def _is_ours(loader: ConfigLoaderImpl) -> bool:
    ours = str(config_dir())
    return any((place.path or "").removeprefix("file://") == ours for place in loader.get_search_path().get_path())


def refuse_packages(folders: Any) -> None:
    """Raise ConfigError where hydra.searchpath names more than folders: Hydra imports the package behind `pkg://`."""
    for folder in folders if isinstance(folders, list) or OmegaConf.is_list(folders) else []:
        scheme, mark, _ = str(folder).partition("://")
        if mark and scheme != "file":
            raise ConfigError(
                f"hydra.searchpath={folder} is not allowed: it names folders only, as path or file://path"
            )


def refuse_without_effect(composed: Any) -> None:
    """Raise ConfigError where a composed configuration (as plain values) sets what Prospero does not let Hydra do."""
    given, allowed = composed["hydra"], _undisturbed()
    for name in WITHOUT_EFFECT:
        if _at(given, name) != _at(allowed, name):
            raise ConfigError(
                f"hydra.{name} has no effect in Prospero and is not allowed; leave it out{INSTEAD.get(name, '')}"
            )
    for name in LOGGING:
        if given[name] not in (NO_LOGGING, _of_hydra(name)):  # a config.yaml of before base.yaml has Hydra's own
            raise ConfigError(
                f"hydra.{name} has no effect in Prospero and is not allowed; leave it out (a run's log is log.txt in "
                "its folder)"
            )
    if _at(given, "launcher._target_") == _BASIC_LAUNCHER:
        raise ConfigError("hydra/launcher=basic runs all jobs in one process; use hydra/launcher=process")


@functools.cache
def _undisturbed() -> dict[str, Any]:
    """Return the hydra.* settings of conf/base.yaml over Hydra's own."""
    own: Any = OmegaConf.to_container(OmegaConf.structured(HydraConf()))
    base: Any = OmegaConf.to_container(OmegaConf.load(config_dir() / "base.yaml"), resolve=False)
    return own | {key: own[key] | value if isinstance(value, dict) else value for key, value in base["hydra"].items()}


@functools.cache
def _of_hydra(name: str) -> Any:
    """Return Hydra's own logging, as its file has it."""
    return OmegaConf.to_container(OmegaConf.load(Path(hydra.__file__).parent / f"conf/hydra/{name}/default.yaml"))


def _at(values: Any, name: str) -> Any:
    for part in name.split("."):
        values = values.get(part) if isinstance(values, Mapping) else None
    return values


def refuse_foreign_targets(cfg: Any, path: str = "") -> None:
    """Raise ConfigError where a composed configuration (as plain values) names code to run that nobody registered.

    `_target_` is Hydra's word for "build this": Hydra builds its launcher and its sweeper by it. Allowed are the names
    that Hydra's own and installed plugins have put into the ConfigStore under hydra/. Our own parts are chosen by name
    and have none.
    """
    if isinstance(cfg, list):
        for number, item in enumerate(cfg):
            refuse_foreign_targets(item, f"{path}[{number}]")
        return
    if not isinstance(cfg, Mapping):
        return
    for key, value in cfg.items():
        where = join(path, key)
        if key == "_target_" and not (path.startswith("hydra.") and value in _registered_targets()):
            what = f"'{value}' is no registered plugin of Hydra" if path.startswith("hydra.") else CHOSEN_BY_NAME
            raise ConfigError(f"{where} is not allowed: {what}")
        refuse_foreign_targets(value, where)


def _registered_targets() -> set[str]:
    """Every `_target_` that a plugin has registered under hydra/, exactly as written there."""
    found: set[str] = set()

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
