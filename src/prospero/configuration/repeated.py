"""What Hydra computes again and again while it composes, computed once; what it composes is the same.

A composition of conf/ loads some sixty nodes. Hydra copies its whole ConfigStore for each one, builds a map of all
choices at each node for interpolations that none of them has, and a process that composes twice (a notebook, a sweep,
the tests) reads, parses and merges the same texts again. What is remembered here is kept by the content of what was
read, never by a time stamp, so that a changed file is always seen.
"""

import copy
import functools
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

from hydra import version
from hydra._internal import defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository, ConfigRepository
from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import DictConfig

LOADED_AT_MOST, MERGED_AT_MOST = 1024, 32

_loaded: OrderedDict[Hashable, ConfigResult] = OrderedDict()
"""All that the result of loading depends on -> what Hydra made of it."""
_merged: OrderedDict[Hashable, DictConfig | None] = OrderedDict()
"""The nodes of a composition in their order -> what they merge to; None after the first time, which copies nothing."""


class _Itself:
    """A stored node as part of a key: equal to itself alone, and alive as long as the key."""

    __slots__ = ("node",)

    def __init__(self, node: object) -> None:
        self.node = node

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and other.node is self.node

    def __hash__(self) -> int:
        return id(self.node)


def spare() -> None:
    """Have Hydra spare what it has computed before, from now on and as long as the process lives."""
    if hasattr(ConfigRepository.load_config, "spared"):
        return
    version._get_version = functools.cache(version._get_version)
    CachingConfigRepository.__init__ = functools.wraps(CachingConfigRepository.__init__)(_share_the_store)
    defaults_list._create_interpolation_map = _map_if_needed(defaults_list._create_interpolation_map)
    ConfigRepository.load_config = _load_once(ConfigRepository.load_config)
    ConfigLoaderImpl._compose_config_from_defaults_list = _merge_once(
        ConfigLoaderImpl._compose_config_from_defaults_list
    )


def _share_the_store(self: CachingConfigRepository, delegate: Any) -> None:
    """Take the place of `CachingConfigRepository.__init__`, which copies all that the sources hold, the store too.

    What the copy is for, other sources for a search path, replaces the list of sources and changes none of them.
    """
    self.delegate = copy.copy(delegate)
    self.cache = {}


def _map_if_needed(create: Callable[..., DictConfig]) -> Callable[..., DictConfig]:
    """Make the map in which a defaults list's `${...}` is looked up only where there is one."""

    @functools.wraps(create)
    def _create_interpolation_map(overrides: Any, defaults: list[Any], self_added: bool) -> DictConfig:
        refers = any("$" in str(name) for name in overrides.known_choices.values())
        if refers or any(item.is_interpolation() for item in defaults):
            return create(overrides, defaults, self_added)
        return DictConfig({})

    return _create_interpolation_map


def _load_once(load: Callable[..., ConfigResult | None]) -> Callable[..., ConfigResult | None]:
    """Parse a text once; nobody may change the `config` of what is returned (see `_merge_once`)."""

    @functools.wraps(load)
    def load_config(self: ConfigRepository, config_path: str) -> ConfigResult | None:
        source = self._find_object_source(config_path=config_path, object_type=ObjectType.CONFIG)
        token = _read_from(source, config_path) if source is not None else None
        if token is None:
            return load(self, config_path)
        if token not in _loaded:
            result = load(self, config_path)
            if result is None:
                return None
            vars(result)["read_from"] = token
            _keep(_loaded, token, result, LOADED_AT_MOST)
        return copy.copy(_loaded[token])

    load_config.spared = True  # type: ignore[attr-defined]
    return load_config


def _read_from(source: ConfigSource, config_path: str) -> Hashable | None:
    """Return all that the result of loading depends on; None where that is not known."""
    name = source._normalize_file_name(config_path)
    where = (source.scheme(), source.provider, source.path, config_path, version.getbase())
    if source.scheme() == "file":
        try:
            return (*where, Path(source.path, name).read_bytes())
        except OSError:
            return None
    if source.scheme() == "pkg":  # files of an installed package, which stay as they are
        return where
    if source.scheme() == "structured":
        return (*where, _Itself(ConfigStore.instance()._load(name)))
    return None


def _merge_once(compose: Callable[..., DictConfig]) -> Callable[..., DictConfig]:
    """Merge the same nodes in the same order once, from the second time on that they are asked for."""

    @functools.wraps(compose)
    def _compose_config_from_defaults_list(self: ConfigLoaderImpl, defaults: list[Any], repo: Any) -> DictConfig:
        key = _merged_from(defaults, repo)
        known = _merged.get(key)
        if known is not None:
            return copy.deepcopy(known)
        for result in repo.cache.values():  # merging changes what is merged
            if result is not None:
                result.config = copy.deepcopy(result.config)
        composed = compose(self, defaults, repo)
        if key is not None:
            again = copy.deepcopy(composed) if key in _merged else None
            if again is not None:
                again._metadata.resolver_cache.clear()  # `${now:...}` is the time of each composition
            _keep(_merged, key, again, MERGED_AT_MOST)
        return composed

    return _compose_config_from_defaults_list


def _merged_from(defaults: list[Any], repo: CachingConfigRepository) -> Hashable | None:
    """Return all that merging depends on; None where that is not known, or a node of a stored name checks a file."""
    places, store = [], ConfigStore.instance()
    for default in defaults:
        result = repo.load_config(default.config_path)
        token = None if result is None else vars(result).get("read_from")
        name = ConfigSource._normalize_file_name(default.config_path)
        if token is None or (result and not result.is_schema_source and store.get_type(name) is ObjectType.CONFIG):
            return None
        places.append((default.config_path, default.package, default.primary, token))
    return tuple(places)


def _keep(kept: OrderedDict[Hashable, Any], key: Hashable, value: Any, at_most: int) -> None:
    kept[key] = value
    while len(kept) > at_most:
        kept.popitem(last=False)
