"""What is typed in a chat: a message, or a command such as /reset or /set temperature=0.7."""

import json
import types
import typing
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any

from prospero.errors import ConfigError, suggest
from prospero.generation.chat import Chat, checked
from prospero.generation.sampling import SamplingConfig
from prospero.paths import write_text
from prospero.plain import flat, plain
from prospero.secret_values import REDACTED, is_secret

COMMANDS = {
    "/help": "what can be typed",
    "/reset": "forget all turns; the system prompt and the settings stay",
    "/system": "show the system prompt; /system <text> sets it, /system off takes it away",
    "/set": "show the settings of sampling; /set temperature=0.7 top_k=20 changes them",
    "/save": "/save <file.jsonl> writes the dialogue as one record, which data=examples rendering=messages reads",
    "/quit": "end (as does the end of the input, Ctrl-D); Ctrl-C stops an answer",
}


class Quit(Exception):
    """The chat is over."""


def command(line: str, chat: Chat) -> str:
    """Do what a line that begins with / asks and return what to say of it.

    Raises ConfigError for an unknown command or a setting that cannot be, and Quit.
    """
    name, _, rest = line.strip().partition(" ")
    rest = rest.strip()
    if name not in COMMANDS:
        raise ConfigError(f"There is no command '{name}'.{suggest(name, COMMANDS)} Commands: {', '.join(COMMANDS)}")
    if rest and name in ("/help", "/reset", "/quit"):
        raise ConfigError(f"{name} stands alone; found '{rest}' behind it")
    if name == "/quit":
        raise Quit
    if name == "/reset":
        chat.reset()
        return "all turns are forgotten"
    if name == "/system":
        return _system(rest, chat)
    if name == "/set":
        return _set(rest, chat)
    return _save(rest, chat) if name == "/save" else "\n".join(f"{key:9}{text}" for key, text in COMMANDS.items())


def _system(text: str, chat: Chat) -> str:
    if text:
        chat.system = None if text == "off" else text
    return "no system prompt" if chat.system is None else f"system prompt: {chat.system}"


def _set(words: str, chat: Chat) -> str:
    if words:
        chat.sampling = checked(changed(chat.sampling, words.split()))
    return ", ".join(f"{name}={json.dumps(value)}" for name, value in vars_of(chat.sampling).items())


def _save(file: str, chat: Chat) -> str:
    if not file:
        raise ConfigError("/save needs a file: /save talk.jsonl")
    if not chat.messages:
        raise ConfigError("there is no turn to save yet")
    path = Path(file).expanduser()
    if path.exists():
        raise ConfigError(f"{file} exists; choose another name")
    try:
        write_text(path, json.dumps({"messages": chat.dialogue()}, ensure_ascii=False) + "\n")
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}") from None
    return f"{len(chat.dialogue())} messages are saved in {file}"


def vars_of(sampling: SamplingConfig) -> dict[str, Any]:
    """Return the settings by their names, those of a watermark by `watermark.delta`; no secret among them."""
    found = flat(plain(sampling))
    return {name: REDACTED if value is not None and is_secret(name) else value for name, value in found.items()}


def changed(sampling: SamplingConfig, words: list[str]) -> SamplingConfig:
    """Return the settings with each `name=value` (or sampling.name=value); ConfigError for what cannot be."""
    kinds = _kinds(SamplingConfig)
    for word in words:
        name, equals, _ = word.removeprefix("sampling.").partition("=")
        if not equals:
            raise ConfigError(f"'{word}' is no setting; write name=value, such as temperature=0.7")
        if name not in kinds:
            raise ConfigError(f"There is no setting '{name}'.{suggest(name, kinds)} Settings: {', '.join(kinds)}.")
    found = {name: _value(name, value, kinds[name]) for name, value in _pairs(words)}
    own = {name: value for name, value in found.items() if "." not in name}
    for group in {name.partition(".")[0] for name in found if "." in name}:
        inner = {name.partition(".")[2]: value for name, value in found.items() if name.startswith(f"{group}.")}
        own[group] = replace(getattr(sampling, group), **inner)
    return replace(sampling, **own)


def _pairs(words: list[str]) -> list[tuple[str, str]]:
    split = (word.removeprefix("sampling.").partition("=") for word in words)
    return [(name, value) for name, _, value in split]


def _kinds(settings: type, path: str = "") -> dict[str, Any]:
    """Return the type of each setting, by its name; those of settings in settings by dotted names."""
    found: dict[str, Any] = {}
    for name, kind in typing.get_type_hints(settings).items():
        found |= (
            _kinds(kind, f"{path}{name}.") if isinstance(kind, type) and is_dataclass(kind) else {f"{path}{name}": kind}
        )
    return found


def _value(name: str, text: str, kind: Any) -> Any:
    """Return the value that `text` stands for; ConfigError where it is of another type."""
    allowed = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if float in allowed and type(value) is int:
        value = float(value)
    is_texts = isinstance(value, list) and all(isinstance(one, str) for one in value)
    if (is_texts and list[str] in allowed) or type(value) in allowed:
        return value
    if value is None and type(None) in allowed:
        return None
    names = {int: "a whole number", float: "a number", type(None): "null", list[str]: 'texts, such as ["\\n"]'}
    raise ConfigError(f"{name}={text}: give {' or '.join(names[one] for one in allowed)}")
