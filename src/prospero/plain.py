"""Settings as plain values (dict, list, text, number, bool, None), fit for JSON, YAML and checkpoints, and back."""

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from prospero.errors import DataError, suggest


def plain(value: Any) -> Any:
    """Return settings as dicts, lists, strings and numbers: a dataclass by its fields, an Enum by its name."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def from_plain(kind: Any, value: Any) -> Any:
    """Return `value`, as `plain` wrote it, as the type `kind`; DataError for a setting that `kind` does not have."""
    if get_origin(kind) in (Union, UnionType):
        members = [member for member in get_args(kind) if member is not type(None)]
        return None if value is None else from_plain(members[0], value)
    if isinstance(kind, type) and issubclass(kind, Enum):
        if value not in kind.__members__:
            raise DataError(
                f"'{value}' is none of {', '.join(kind.__members__)}; the file is of another version of Prospero"
            )
        return kind[value]
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        for name in value:
            if name not in hints:
                raise DataError(
                    f"{kind.__name__} has no setting '{name}'.{suggest(name, hints)} The file is of another version"
                )
        return kind(**{name: from_plain(hints[name], item) for name, item in value.items()})
    return value


def flat(values: Any, path: str = "", *, without: Iterable[str] = ()) -> dict[str, Any]:
    """Return nested plain values as dotted names -> values, in order, leaving out the names in `without`."""
    if isinstance(values, Mapping) and values:
        pairs = [(f"{path}.{key}" if path else str(key), value) for key, value in values.items()]
        return {n: v for name, value in pairs if name not in without for n, v in flat(value, name).items()}
    return {path: values} if path else {}
