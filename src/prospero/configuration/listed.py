"""Lists of parts: an item names a choice of a group, with settings of its own and those of the part side by side.

    data.parts=[{data: stdlib_docs, weight: 1}, {data: files, path: texts, weight: 3}]

The part is composed as `data=files` is on a command line, presets of the user's own included. What is no setting of
the item is one of the part; they may also stand under `settings`, which is how a config.yaml spells them.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from prospero import registry
from prospero.configuration.schema import schema
from prospero.errors import ConfigError, suggest

PART = "settings"
"""The setting of an item that holds its part."""
_KINDS = {"Integer": "a whole number", "Float": "a number", "Boolean": "true or false", "String": "text"}


def read(item: Any, path: str, compose: Callable[[str, str], DictConfig], place: str) -> DictConfig:
    """Return an item of the list at `path` as a node of its schema, the part that it chooses composed within.

    `compose(group, name)` composes the part; `place` is what the item is called in errors, such as data.parts[0].
    Raises ConfigError in one line for what is no item, no setting, or no value of one.
    """
    group, settings = registry.LISTED[path]
    own = [field.name for field in dataclasses.fields(schema(settings))]
    if not isinstance(item, Mapping) or not isinstance(item.get(group), str):
        raise ConfigError(f"{place}={item} names no {group}; write it as {{{group}: <a choice of {group}=>, ...}}")
    within = item.get(PART, {})
    if not isinstance(within, Mapping):
        raise ConfigError(f"{place}.{PART}={within} is no table of settings; write {{name: value, ...}}")
    part = compose(group, item[group])
    if path.rpartition(".")[2] in [*part]:
        raise ConfigError(f"{place}.{group}={item[group]} is a list of parts itself; give its parts one by one")
    _set(part, {name: value for name, value in item.items() if name not in own}, place, [*own[:-1], *part])
    _set(part, within, f"{place}.{PART}", list(part))
    node = OmegaConf.structured(schema(settings))
    _set(node, {name: value for name, value in item.items() if name in own and name != PART}, place, own)
    node[PART] = part
    return node


def _set(node: DictConfig, values: Mapping[Any, Any], place: str, allowed: list[Any]) -> None:
    names, there = [str(name) for name in allowed], [*node]  # `in` finds no setting without a value
    for name, value in values.items():
        if name not in there:
            hint = suggest(str(name), names).replace("'", f"'{place}.", 1)
            raise ConfigError(f"There is no setting '{place}.{name}'.{hint or ' Allowed: ' + ', '.join(names) + '.'}")
        try:
            node.merge_with({name: value})
        except OmegaConfBaseException as error:
            raise ConfigError(_misfit(f"{place}.{name}", value, str(error))) from error


def _misfit(name: str, value: Any, reason: str) -> str:
    wanted = re.search(r"could not be converted to (\w+)", reason)
    if wanted:
        return f"{name}={value} is of the wrong type: {name} is {_KINDS.get(wanted[1], wanted[1])}."
    unknown = re.search(r"Key '([^']+)' (?:not in|is not in struct)", reason)
    if unknown:
        return f"There is no setting '{name}.{unknown[1]}'."
    return f"{name}={value} is not possible: {reason.splitlines()[0]}"
