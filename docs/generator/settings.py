"""The settings of a part as rows of a table: name, type, default, meaning, read from the source of its class."""

import dataclasses
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from prospero.configuration.schema import field_docs, schema
from prospero.registry import PARTS

REQUIRED = "must be given"


@dataclass(frozen=True)
class Setting:
    """One setting, by the path that is typed behind the group's name."""

    path: str
    type: str
    default: str
    meaning: str


def settings_of(light: type, prefix: str = "", *, leave_out: frozenset[str] = frozenset()) -> Iterator[Setting]:
    """Yield a schema class's settings, those of settings inside it behind a dot, without groups and `leave_out`."""
    docs, hints = field_docs(light), typing.get_type_hints(light)
    for item in dataclasses.fields(light):
        hint = hints[item.name]
        inner = [kind for kind in _alternatives(hint) if isinstance(kind, type) and dataclasses.is_dataclass(kind)]
        if item.name in leave_out or (not prefix and item.name in PARTS and not inner and _holds_parts(hint)):
            continue
        if inner:
            yield from settings_of(inner[0], f"{prefix}{item.name}.")
        else:
            yield Setting(f"{prefix}{item.name}", type_text(hint), default_text(item), docs.get(item.name, ""))


def light_class(path: str) -> type:
    """Return the schema of `"module:Class"`."""
    return schema(path)


def class_doc(light: type) -> str:
    """Return the docstring of a settings class in one line, "" where it has none of its own."""
    doc = " ".join((light.__doc__ or "").split())
    return "" if doc.startswith(f"{light.__name__}(") else doc


def type_text(hint: Any) -> str:
    """Return a type as a reader says it: `whole number or null`, `auto, ddp or fsdp`."""
    kinds = [_one_type(kind) for kind in _alternatives(hint) if kind is not types.NoneType]
    if types.NoneType in _alternatives(hint):
        kinds.append("null")
    return " or ".join(kinds)


def default_text(item: dataclasses.Field) -> str:
    """Return a field's default as it would be typed."""
    if item.default is not dataclasses.MISSING:
        return value_text(item.default)
    if item.default_factory is not dataclasses.MISSING:
        return value_text(item.default_factory())
    return REQUIRED


def value_text(value: object) -> str:
    """Return a value as it would be typed on the command line."""
    if value == "???":
        return REQUIRED
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, list | tuple):
        return f"[{','.join(value_text(entry) for entry in value)}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{value_text(entry)}" for key, entry in value.items()) + "}"
    return repr(value) if isinstance(value, str) and (not value or value != value.strip()) else str(value)


def table(rows: list[Setting]) -> list[str]:
    """Return the lines of a Markdown table of settings."""
    lines = ["| setting | type | default | meaning |", "|---|---|---|---|"]
    for row in rows:
        default = row.default if row.default == REQUIRED else code(row.default)
        lines.append(f"| {code(row.path)} | {cell(row.type)} | {default} | {cell(row.meaning)} |")
    return lines


def code(text: str) -> str:
    """Return text as code; a | in it does not end the cell of a table."""
    shown = text.replace("\n", "\\n")
    ticks = "``" if "`" in shown else "`"
    return f"{ticks}{shown}{ticks}"


def cell(text: str) -> str:
    """Return prose of a docstring inside a page: only what stands between backticks is Markdown."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # a backtick alone
        return _plain(text)
    return "".join(code(part) if number % 2 else _plain(part) for number, part in enumerate(parts))


def _plain(text: str) -> str:
    text = text.replace("\\", "\\\\").replace("<", "&lt;")
    for sign in "|*_[`":
        text = text.replace(sign, f"\\{sign}")
    return text


def _alternatives(hint: Any) -> tuple[Any, ...]:
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if is_union else (hint,)


def _holds_parts(hint: Any) -> bool:
    """Whether a field is of a group: its type was a Protocol of parts, which the schema reads as Any."""
    return any(kind is Any or (typing.get_origin(kind) is dict and Any in typing.get_args(kind))
               for kind in _alternatives(hint))  # fmt: skip


def _one_type(kind: Any) -> str:
    if isinstance(kind, type) and issubclass(kind, Enum):
        return " / ".join(member.name for member in kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is list:
        return f"list of {type_text(arguments[0])}"
    if origin is tuple:
        return " and ".join(type_text(argument) for argument in arguments if argument is not Ellipsis)
    if origin is dict:
        return f"{type_text(arguments[0])} to {type_text(arguments[1])}"
    words = {int: "whole number", float: "number", str: "text", bool: "true / false", Any: "anything"}
    return words.get(kind, str(kind))
