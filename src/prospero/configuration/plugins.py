"""Parts of the user's own: which modules a command names in `plugins`, their import, and the presets beside them.

The modules must have registered their parts before Hydra composes, so their names are looked up beforehand: on the
command line, in the root file (a config.yaml that is run again), and in every preset that the command chooses.
"""

import functools
import importlib
import os
import sys
import traceback
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from types import ModuleType
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from prospero import registry
from prospero.configuration.fit import misfit
from prospero.errors import ConfigError
from prospero.paths import config_dir

_folders: list[Path] = []
"""Folders of presets besides conf/: those of --config-dir, then those beside the loaded modules."""


class PresetFolders(SearchPathPlugin):
    """Has Hydra find the presets that lie beside the user's modules, without a word on the command line."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append the folders; Hydra calls this whenever it begins to compose."""
        for folder in _folders:
            search_path.append("plugin", f"file://{folder}")


def search_folders() -> list[Path]:
    """Return the folders in which presets are found, in the order in which they are looked through."""
    return [config_dir(), *_folders]


def load_named(root: str, given: list[str]) -> dict[str, Path | None]:
    """Import every module that a command (its root file and its words) names.

    Returns module -> the file that names it, None where the command line does.

    A module may bring presets that name further modules; those are imported as well.
    """
    if PresetFolders not in Plugins.instance().discover(SearchPathPlugin):
        Plugins.instance().register(PresetFolders)
    _folders[:] = [_existing(folder) for folder in options_given(given, "--config-dir", "-cd")]
    root = root_of(given, root)
    loaded: dict[str, Path | None] = {}
    while new := {name: file for name, file in _named(root, given).items() if name not in loaded}:
        load(list(new))
        loaded |= new
    return loaded


def _existing(folder: str) -> Path:
    if not os.path.isdir(folder):  # unlike Path.is_dir, also for a name that is too long for a file
        raise ConfigError(f"--config-dir {folder}: there is no such folder")
    return Path(folder).resolve()


def load(modules: list[str]) -> None:
    """Import the user's modules so that their parts register, and remember the folders `conf/` beside them.

    Raises ConfigError, with the module and the error, when one cannot be imported; nothing is registered then.
    """
    if modules and "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    before = {group: dict(parts) for group, parts in registry.ADDED.items()}
    try:
        for name in modules:
            module = _imported(name)
            folder = Path(module.__file__).resolve().parent / "conf" if module.__file__ else None
            if folder and folder.is_dir() and folder not in search_folders():
                _folders.append(folder)
        _store_added_parts()
    except ConfigError:
        registry.ADDED.clear()
        registry.ADDED.update(before)
        raise


def options_given(given: list[str], *names: str) -> list[str]:
    """Return the values of an option (all its spellings) on the command line."""
    values = []
    for word, following in zip_longest(given, given[1:], fillvalue=""):
        option, equals, value = word.partition("=")
        if option in names:
            values.append(value if equals else following)
    return values


def root_of(given: list[str], verb: str) -> str:
    """Return the root that a command line names, the last one if it names several, else that of the verb."""
    return next(reversed(options_given(given, "--config-name", "-cn")), verb).removesuffix(".yaml")


def chosen_on(given: list[str]) -> dict[str, list[str]]:
    """Return key -> values of the words of a command line, each value without brackets and quotes."""
    chosen: dict[str, list[str]] = {}
    for word in given:
        key, equals, value = word.lstrip("+").partition("=")
        if equals and not word.startswith("-"):
            values = [item.strip(" '\"[]") for item in value.split(",")]
            chosen[key.partition("@")[0]] = [item for item in values if item]
    return chosen


def _named(root: str, given: list[str]) -> dict[str, Path | None]:
    """Return module -> the file that names it, None where the command line does."""
    chosen = chosen_on(given)
    found: dict[str, Path | None] = dict.fromkeys(chosen.get("plugins", []))
    files = [("", root), *((group, name) for group, names in chosen.items() for name in names)]
    for group, name in files:
        for module, file in _in_file(group, name, chosen, set()):
            found.setdefault(module, file)
    return found


def _in_file(group: str, name: str, chosen: dict[str, list[str]], seen: set[Path]) -> Iterator[tuple[str, Path]]:
    """Yield (plugin, file) for those named in a preset or a root, and in the presets that its defaults choose."""
    candidates = (folder / group / f"{name}.yaml" for folder in search_folders())
    path = next((path for path in candidates if os.path.isfile(path)), None)
    if path is None or path in seen:
        return
    seen.add(path)
    text = path.read_text(encoding="utf-8", errors="replace")
    named, defaults = _plugins_and_defaults(text)
    if not group or "@package _global_" in text:
        yield from ((str(item), path) for item in named)
    for other_group, other_name in _defaults(defaults, group):
        if not other_group or other_group == group or other_group not in chosen:
            yield from _in_file(other_group, other_name, chosen, seen)


@functools.lru_cache(maxsize=1024)
def _plugins_and_defaults(text: str) -> tuple[list[Any], list[Any]]:
    """Return what the text of a preset or a root lists under `plugins` and `defaults`, each text parsed once."""
    try:
        tree: Any = OmegaConf.to_container(OmegaConf.create(text), resolve=False) if text.strip() else {}
    except (YAMLError, OmegaConfBaseException):
        return [], []  # Hydra says what is wrong with it
    if not isinstance(tree, dict):
        return [], []
    named = tree.get("plugins")
    return named if isinstance(named, list) else [], tree.get("defaults") or []


def _defaults(defaults: list[Any], group: str) -> Iterator[tuple[str, str]]:
    """Yield the (group, name) of each entry of a defaults list that stands in a file of `group`."""
    for item in defaults:
        pairs = item.items() if isinstance(item, dict) else [(None, item)]
        for key, value in pairs:
            for name in value if isinstance(value, list) else [value]:
                if key is None:
                    place = str(name).partition("@")[0]
                else:
                    place = f"{str(key).split()[-1].partition('@')[0]}/{name}"
                full = place.lstrip("/") if place.startswith("/") else f"{group}/{place}".lstrip("/")
                if name is not None and place != "_self_" and not full.startswith(("schema/", "hydra/")):
                    yield full.rpartition("/")[0], full.rpartition("/")[2]


def _imported(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise ConfigError(f"plugins: '{name}' is no name of a module; write plugins=[my_parts] for my_parts.py")
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        parents = {name.rsplit(".", count)[0] for count in range(name.count(".") + 1)}
        if isinstance(error, ModuleNotFoundError) and error.name in parents:
            raise ConfigError(
                f"plugins: there is no module '{name}'; name an installed module or a .py file of the current folder"
            ) from error
        said = str(error).splitlines()[0] if str(error) else ""
        what = said if isinstance(error, ConfigError) else f"{type(error).__name__}: {said}"
        raise ConfigError(f"plugins: {name} cannot be imported: {what}{_where(error)}") from error


def _where(error: BaseException) -> str:
    """Return the file and line of the user's own code that an error comes from."""
    if isinstance(error, SyntaxError):
        return ""  # its text says it
    ours = str(Path(registry.__file__).parent)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "importlib" not in f.filename]
    theirs = [frame for frame in frames if not frame.filename.startswith(ours)]
    return f" ({Path(theirs[-1].filename).name}, line {theirs[-1].lineno})" if theirs else ""


def _store_added_parts() -> None:
    """Put the registered parts into Hydra's ConfigStore: the schema, and a preset of the same name."""
    store = ConfigStore.instance()
    for group, parts in registry.ADDED.items():
        for name, config_class in parts.items():
            kind = f"{config_class.__module__}:{config_class.__qualname__}"
            lacking = misfit(group, config_class)
            if lacking:
                raise ConfigError(f"plugins: {kind} {lacking}")
            package = f"{group}.{name}" if group in registry.MULTIPLE else None
            try:
                store.store(group=f"schema/{group}", name=name, node=config_class, provider="plugin")
                store.store(group=group, name=name, node=config_class, package=package, provider="plugin")
            except OmegaConfBaseException as error:
                raise ConfigError(f"plugins: {kind} cannot hold settings: {str(error).splitlines()[0]}") from error
