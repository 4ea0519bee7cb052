"""Dialogues as records hold them: OpenAI's messages, ShareGPT's conversations, Alpaca's instruction and output."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prospero.data.records import Record, kind_of, sound
from prospero.errors import DataError, suggest
from prospero.printable import printable

OPENAI = {name: name for name in ("system", "user", "assistant", "tool")} | {"developer": "system", "function": "tool"}
"""Role as written -> role."""
SHAREGPT = {"system": "system", "human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant"} | {
    "bard": "assistant", "bing": "assistant", "assistant": "assistant", "model": "assistant",
    "tool": "tool", "observation": "tool",
}  # fmt: skip
NAMES = {"openai": "OpenAI messages", "sharegpt": "ShareGPT conversations", "alpaca": "Alpaca instructions"}
FIELDS = ("messages", "conversations", "conversation")
"""Where the turns usually are."""
ALPACA = ("instruction", "output")


class BadRecord(DataError):
    """A record that is no dialogue; `reason` is a fixed phrase, by which such records are counted."""

    def __init__(self, place: str, found: str, reason: str) -> None:
        super().__init__(f"{place}: {found}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Dialogue:
    """What was read of a record."""

    messages: list[dict[str, Any]]
    format: str
    """openai, sharegpt or alpaca."""
    field: str
    """Where it stood."""


def read_dialogue(record: Record, field: str | None, asked: str) -> Dialogue:
    """Return the messages of a record, in `field` (None: where they usually are) and the format `asked` (or auto).

    Raises BadRecord, with the place, for what is no dialogue.
    """
    form, field = _recognised(record, field, asked)
    if form == "alpaca":
        return Dialogue(_alpaca(record), form, ", ".join(ALPACA))
    turns = record.value(field)
    if not isinstance(turns, list | tuple):
        raise BadRecord(
            record.place, f"field '{field}' holds {kind_of(turns)}, not a list of messages", "no list of messages"
        )
    keys, roles = (("role", "content"), OPENAI) if form == "openai" else (("from", "value"), SHAREGPT)
    messages = [_message(record.place, number, turn, keys, roles) for number, turn in enumerate(turns, 1)]
    system = record.row.get("system")
    if form == "sharegpt" and isinstance(system, str) and system.strip():
        messages = messages if messages and messages[0]["role"] == "system" else [_said("system", system), *messages]
    return Dialogue(messages, form, field)


def check_answers(place: str, messages: Sequence[Mapping[str, Any]]) -> None:
    """Raise BadRecord where nobody answers, or an answer is empty."""
    roles = [message["role"] for message in messages]
    if "assistant" not in roles:
        listed = ", ".join(roles[:6]) + (", ..." if len(roles) > 6 else "") if roles else "none"
        raise BadRecord(place, f"an answer is missing: no message of the assistant (roles: {listed})", "no answer")
    for number, message in enumerate(messages, 1):
        if message["role"] == "assistant" and not message["content"].strip() and not message.get("tool_calls"):
            raise BadRecord(place, f"message {number} (assistant) is an empty answer", "empty answer")


def _recognised(record: Record, field: str | None, asked: str) -> tuple[str, str]:
    row = record.row
    if asked == "alpaca":
        return asked, ""
    found = field if field is not None else next((name for name in FIELDS if name in row), None)
    if found is None and asked == "auto" and all(name in row for name in ALPACA):
        return "alpaca", ""
    if found is None:
        listed = ", ".join(str(name) for name in list(row)[:20]) or "none"
        raise BadRecord(
            record.place,
            f"no dialogue: neither messages (OpenAI) nor conversations (ShareGPT) nor instruction and output (Alpaca); "
            f"fields found: {listed}. Name the field that holds the turns: rendering.messages=<name>",
            "no dialogue",
        )
    if asked != "auto":
        return asked, found
    try:
        turns = record.value(found)
    except DataError as error:
        raise BadRecord(record.place, str(error).removeprefix(f"{record.place}: "), "no such field") from None
    first = turns[0] if isinstance(turns, list | tuple) and turns else None
    return ("sharegpt" if isinstance(first, Mapping) and "from" in first else "openai"), found


def _message(place: str, number: int, turn: Any, keys: tuple[str, str], roles: Mapping[str, str]) -> dict[str, Any]:
    """Return one message with its role as ours and its content as a text."""
    of_role, of_content = keys
    if not isinstance(turn, Mapping):
        what = f"message {number} is {kind_of(turn)}, not an object with {of_role} and {of_content}"
        raise BadRecord(place, what, "no message")
    if of_role not in turn or (of_content not in turn and not turn.get("tool_calls")):
        missing = of_role if of_role not in turn else of_content
        listed = ", ".join(str(name) for name in turn) or "nothing"
        raise BadRecord(place, f"message {number} has no '{missing}'; it has {listed}", f"a message without {missing}")
    said = turn[of_role]
    role = roles.get(said) if isinstance(said, str) else None
    if role is None:
        near = suggest(str(said), roles)
        what = f"message {number} has the role {printable(repr(said))}.{near} Roles: {', '.join(roles)}"
        raise BadRecord(place, what, "unknown role")
    content = _content(turn.get(of_content), bool(turn.get("tool_calls")))
    if content is None:
        what = f"message {number} ({said}) holds {_found(turn.get(of_content))}, not a text"
        raise BadRecord(place, what, "content that is no text")
    more = {name: turn[name] for name in ("tool_calls", "name", "tool_call_id") if turn.get(name)}
    return _said(role, content) | more


def _content(value: Any, calls: bool) -> str | None:
    """Return a text, or the parts of one in OpenAI's form, as one text; None for what is none."""
    if value is None and calls:
        return ""
    if isinstance(value, list | tuple) and value:
        parts = [
            part.get("text") if isinstance(part, Mapping) and part.get("type") == "text" else None for part in value
        ]
        texts = [part for part in parts if isinstance(part, str)]
        return sound("".join(texts)) if len(texts) == len(parts) else None
    return sound(value) if isinstance(value, str) else None


def _found(value: Any) -> str:
    if isinstance(value, list | tuple) and value:
        kinds = [str(part.get("type")) if isinstance(part, Mapping) else kind_of(part) for part in value]
        return f"parts of the kinds {', '.join(dict.fromkeys(kinds))}"
    return kind_of(value)


def _alpaca(record: Record) -> list[dict[str, Any]]:
    for name in ALPACA:
        if name not in record.row:
            listed = ", ".join(str(found) for found in list(record.row)[:20]) or "none"
            raise BadRecord(record.place, f"no field '{name}' of Alpaca's; fields found: {listed}", "no such field")
    texts = {}
    for name in ("system", "instruction", "input", "output"):
        value = record.row.get(name)
        if value is not None and not isinstance(value, str):
            raise BadRecord(
                record.place, f"field '{name}' holds {kind_of(value)}, not a text", "content that is no text"
            )
        texts[name] = sound(value or "")
    asked = "\n\n".join(text for text in (texts["instruction"], texts["input"]) if text.strip())
    begun = [_said("system", texts["system"])] if texts["system"].strip() else []
    return [*begun, _said("user", asked), _said("assistant", texts["output"])]


def _said(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content}
