"""Reading the body of a request: plain JSON in, typed values out, and whatever is wrong named by its field."""

import json
import math
from collections.abc import Collection, Mapping
from typing import Any

from prospero.errors import suggest
from prospero.serving.problems import Problem, refused

HARMLESS = frozenset({"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"})
"""Fields of OpenAI's that say something about the caller and nothing about the text; they are not looked at."""

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
    "logit_bias": ({},),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "parallel_tool_calls": (False, True),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
}
"""Fields of OpenAI's that are not offered -> the values (beside null) that ask for nothing."""
INSTEAD = {
    "presence_penalty": "; repetition_penalty makes tokens of the text less likely",
    "frequency_penalty": "; repetition_penalty makes tokens of the text less likely",
}

LARGEST_INTEGER = 2**63 - 1


def parsed(body: bytes) -> dict[str, Any]:
    """Return the JSON object that a body holds; Problem 400 for anything else."""
    try:
        found = json.loads(body, parse_constant=_no_constant)
    except RecursionError:
        raise Problem(400, "the body is nested too deeply") from None
    except ValueError as error:
        raise Problem(400, f"the body is no JSON: {str(error)[:120]}") from None
    if not isinstance(found, dict):
        raise Problem(400, f"the body must be a JSON object, and is {_kind(found)}")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


class Fields:
    """The fields of a body; what is null counts as not given."""

    def __init__(self, values: Mapping[str, Any], known: Collection[str]) -> None:
        """Refuse what is not in `known`, nor harmless, nor neutral."""
        for name, value in values.items():
            if name in known or name in HARMLESS or value is None:
                continue
            if name not in NEUTRAL:
                shown = name if len(name) <= 60 else name[:60] + "..."
                raise refused(shown, f"Unknown field '{shown}'.{suggest(shown, known)}", "unknown_field")
            if not any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in NEUTRAL[name]):
                raise refused(name, f"'{name}' is not offered by this server{INSTEAD.get(name, '')}", "not_offered")
        self.values = {name: value for name, value in values.items() if value is not None and name in known}

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def integer(self, name: str, least: int, most: int = LARGEST_INTEGER, *, limit: str = "") -> int | None:
        """Return a whole number; `limit` names the setting that bounds it."""
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if type(value) is not int:
            raise refused(name, f"'{name}' must be a whole number, and is {_kind(value)}")
        if not least <= value <= most:
            why = f" (the server's {limit})" if limit and value > most else ""
            raise refused(name, f"'{name}' is {_short(value)}; it must be from {least} to {most}{why}")
        return value

    def number(self, name: str) -> float | None:
        """Return a finite number."""
        value = self.values.get(name)
        if value is None:
            return None
        if type(value) not in (int, float):
            raise refused(name, f"'{name}' must be a number, and is {_kind(value)}")
        try:
            value = float(value)
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            raise refused(name, f"'{name}' must be a finite number")
        return value

    def flag(self, name: str) -> bool:
        """Return true or false; false where it is not given."""
        value = self.values.get(name, False)
        if type(value) is not bool:
            raise refused(name, f"'{name}' must be true or false, and is {_kind(value)}")
        return value

    def object(self, name: str) -> dict[str, Any]:
        """Return an object; an empty one where it is not given."""
        value = self.values.get(name, {})
        if not isinstance(value, dict):
            raise refused(name, f"'{name}' must be an object, and is {_kind(value)}")
        return value

    def list(self, name: str) -> list[Any]:
        """Return a list; Problem where it is not given."""
        if name not in self.values:
            raise refused(name, f"'{name}' is missing", "missing_field")
        value = self.values[name]
        if not isinstance(value, list):
            raise refused(name, f"'{name}' must be a list, and is {_kind(value)}")
        return value


def text_of(value: Any, name: str) -> str:
    """Return a text that can be written as UTF-8; Problem, which names the field, for anything else."""
    if not isinstance(value, str):
        raise refused(name, f"'{name}' must be a text, and is {_kind(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise refused(name, f"'{name}' holds half a character (a lone surrogate)") from None
    return value


def _short(value: int) -> str:
    return str(value) if abs(value) <= LARGEST_INTEGER else "too large"


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")
