"""Whether a settings class fits its group: it has what the Protocol asks, and `.build` takes what it is given."""

import dataclasses
import inspect
from inspect import Parameter
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from prospero.evaluation.tasks.parts import RetrievalSettings
from prospero.training.settings import TrainConfig

OTHER_GROUPS = {"retrieval": RetrievalSettings}
"""Groups of other roots than that of training."""


def protocol_of(group: str) -> type | None:
    """Return the Protocol that a part's settings follow, or None for a group of one class of settings."""
    if group in OTHER_GROUPS:
        return OTHER_GROUPS[group]
    kind: Any = get_type_hints(TrainConfig)[group]
    if get_origin(kind) in (Union, UnionType):
        kind = get_args(kind)[0]
    if get_origin(kind) is dict:
        kind = get_args(kind)[1]
    return None if kind is Any else kind


def misfit(group: str, settings: type) -> str | None:
    """Return what a settings class lacks for its group, in words that follow its name, or None when it fits.

    The settings that the Protocol names must be fields; a method takes the Protocol's arguments under the same names
    and in the same order, and whatever else it takes has a default.
    """
    protocol = protocol_of(group)
    if protocol is None:
        return None
    fields = {item.name for item in dataclasses.fields(settings)} if dataclasses.is_dataclass(settings) else set()
    for name in dict.fromkeys(name for kind in reversed(protocol.__mro__) for name in inspect.get_annotations(kind)):
        if name not in fields:
            return f"has no setting '{name}', which every {group} has"
    for name, asked in vars(protocol).items():
        if name.startswith("_") or not inspect.isfunction(asked):
            continue
        wanted = list(inspect.signature(asked).parameters)
        method = inspect.getattr_static(settings, name, None)
        if not inspect.isfunction(method):
            return f"has no method {_call(name, wanted)}"
        taken = inspect.signature(method).parameters.values()
        names = [item.name for item in taken if item.kind is not Parameter.VAR_KEYWORD]
        required = [item.name for item in taken if item.default is Parameter.empty and item.kind in _NAMED]
        if names[: len(wanted)] != wanted or not set(required) <= set(wanted):
            return f"has {_call(name, names)}; a part of {group} has {_call(name, wanted)}"
    return None


_NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY, Parameter.POSITIONAL_ONLY)


def _call(name: str, parameters: list[str]) -> str:
    return f"{name}({', '.join(parameters[1:])})"
