"""What a client asks for, read from the body of its request: prompts or a dialogue, and how to draw the tokens."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from prospero.errors import ConfigError
from prospero.generation.sampling import LEAST_TEMPERATURE, SamplingConfig
from prospero.serving.fields import Fields, text_of
from prospero.serving.limits import LimitsConfig
from prospero.serving.problems import refused

OF_SAMPLING = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "no_repeat_ngram")
BOTH = ("model", "max_tokens", "n", "seed", "stop", "stream", "stream_options", "logprobs", *OF_SAMPLING)
OF_COMPLETIONS = frozenset({*BOTH, "prompt"})
OF_CHAT = frozenset({*BOTH, "messages", "top_logprobs", "max_completion_tokens"})
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
"""Role in OpenAI's words -> role in a template's."""
MOST_TOP, MOST_STOPS, LONGEST_STOP = 20, 16, 500
RANGES = {"temperature": (LEAST_TEMPERATURE, 100.0), "repetition_penalty": (0.01, 100.0)}
"""Beyond these, and above 0, numbers of float32 run over: no text of the batch must be able to spoil it."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What both kinds of request say."""

    model: str | None
    sampling: SamplingConfig
    """With the seed that was given, or one drawn for this request; n and max_new_tokens as asked."""
    stream: bool
    include_usage: bool
    top: int | None
    """How many most probable tokens are told beside each; None: nothing is told of them."""


@dataclass(frozen=True, slots=True)
class CompletionAsk(Ask):
    """Prompts to continue."""

    prompts: list[str | list[int]]


@dataclass(frozen=True, slots=True)
class ChatAsk(Ask):
    """A dialogue to answer."""

    messages: list[dict[str, Any]]
    """Role and text of each; the last is not an answer."""


def completion_ask(values: dict[str, Any], defaults: SamplingConfig, limits: LimitsConfig) -> CompletionAsk:
    """Return what a body for /v1/completions asks for; Problem for what cannot be."""
    fields = Fields(values, OF_COMPLETIONS)
    sampling, top = _sampling(fields, defaults, limits, "max_tokens"), fields.integer("logprobs", 0, MOST_TOP)
    prompts = _prompts(fields, limits)
    _check_texts(len(prompts) * sampling.n, limits)
    return CompletionAsk(**_common(fields), sampling=sampling, top=top, prompts=prompts)


def chat_ask(values: dict[str, Any], defaults: SamplingConfig, limits: LimitsConfig) -> ChatAsk:
    """Return what a body for /v1/chat/completions asks for; Problem for what cannot be."""
    fields = Fields(values, OF_CHAT)
    name = "max_completion_tokens" if "max_completion_tokens" in fields else "max_tokens"
    if name != "max_tokens" and fields.values.get("max_tokens", fields.values[name]) != fields.values[name]:
        raise refused("max_tokens", "'max_tokens' and 'max_completion_tokens' differ; give one of them")
    sampling = _sampling(fields, defaults, limits, name)
    top = fields.integer("top_logprobs", 0, MOST_TOP)
    asked = fields.flag("logprobs")
    if top is not None and not asked:
        raise refused("top_logprobs", "'top_logprobs' needs logprobs=true")
    messages = _messages(fields, limits)
    _check_texts(sampling.n, limits)
    return ChatAsk(**_common(fields), sampling=sampling, top=(top or 0) if asked else None, messages=messages)


def _common(fields: Fields) -> dict[str, Any]:
    model = fields.values.get("model")
    options = fields.object("stream_options")
    stream = fields.flag("stream")
    if options and not stream:
        raise refused("stream_options", "'stream_options' needs stream=true")
    told = Fields(options, {"include_usage", "include_obfuscation"})
    return {
        "model": None if model is None else text_of(model, "model"),
        "stream": stream,
        "include_usage": told.flag("include_usage"),
    }


def _sampling(fields: Fields, defaults: SamplingConfig, limits: LimitsConfig, length: str) -> SamplingConfig:
    given: dict[str, Any] = {}
    for name in OF_SAMPLING:
        whole = name in ("top_k", "no_repeat_ngram")
        value = fields.integer(name, 1, 2**31) if whole else fields.number(name)
        if value is not None:
            given[name] = value
    for name, (least, most) in RANGES.items():
        if (value := given.get(name)) and not least <= value <= most:
            or_none = "0 (greedy), or " if name == "temperature" else ""
            raise refused(name, f"'{name}' is {value}; it must be {or_none}from {least} to {most}")
    tokens = fields.integer(length, 1, limits.new_tokens, limit="limits.new_tokens")
    seed = fields.integer("seed", -(2**63))
    given["seed"] = secrets.randbelow(2**31) if seed is None else seed
    given["n"] = fields.integer("n", 1, limits.choices, limit="limits.choices") or 1
    given["max_new_tokens"] = min(defaults.max_new_tokens, limits.new_tokens) if tokens is None else tokens
    given["stop"] = [*defaults.stop, *_stops(fields)]
    try:
        return replace(defaults, **given)
    except ConfigError as error:
        raise refused(str(error).partition("=")[0].split()[0], str(error)) from None


def _stops(fields: Fields) -> list[str]:
    value = fields.values.get("stop", [])
    stops = [text_of(text, "stop") for text in (value if isinstance(value, list) else [value])]
    if len(stops) > MOST_STOPS:
        raise refused("stop", f"'stop' has {len(stops)} texts; at most {MOST_STOPS} are possible")
    if any(not text or len(text) > LONGEST_STOP for text in stops):
        raise refused("stop", f"each text of 'stop' must have from 1 to {LONGEST_STOP} characters")
    return stops


def _prompts(fields: Fields, limits: LimitsConfig) -> list[str | list[int]]:
    if "prompt" not in fields:
        raise refused("prompt", "'prompt' is missing; an empty one lets the model begin a text", "missing_field")
    value = fields.values["prompt"]
    if isinstance(value, list) and value and all(type(item) is int for item in value):
        return [value]
    several = value if isinstance(value, list) else [value]
    if not 1 <= len(several) <= limits.prompts:
        raise refused("prompt", f"'prompt' holds {len(several)} prompts; from 1 to {limits.prompts} are possible")
    return [_ids(item) if isinstance(item, list) else text_of(item, "prompt") for item in several]


def _ids(item: Sequence[Any]) -> list[int]:
    if not item or any(type(id_) is not int for id_ in item):
        raise refused("prompt", "a prompt that is a list must hold token ids, at least one")
    return list(item)


def _messages(fields: Fields, limits: LimitsConfig) -> list[dict[str, Any]]:
    messages = fields.list("messages")
    if not 1 <= len(messages) <= limits.messages:
        raise refused("messages", f"'messages' holds {len(messages)}; from 1 to {limits.messages} are possible")
    read = [_message(message, f"messages[{number}]") for number, message in enumerate(messages)]
    if read[-1]["role"] not in ("user", "tool"):
        raise refused("messages", f"the last message is of the {read[-1]['role']}; the user's must be the last")
    if all(message["role"] != "user" for message in read):
        raise refused("messages", "there is no message of the user")
    return read


def _message(message: Any, place: str) -> dict[str, Any]:
    if not isinstance(message, dict):
        raise refused(place, f"'{place}' must be an object with role and content")
    for name, value in message.items():
        if name not in ("role", "content", "name", "tool_call_id") and value not in (None, [], {}):
            raise refused(f"{place}.{name}"[:80], f"'{place}.{name}"[:80] + "' is not offered by this server")
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise refused(f"{place}.role", f"'{place}.role' must be one of {', '.join(ROLES)}")
    found = {"role": ROLES[role], "content": _content(message.get("content"), f"{place}.content")}
    more = {name: text_of(message[name], f"{place}.{name}") for name in ("name", "tool_call_id") if message.get(name)}
    return found | more


def _content(content: Any, place: str) -> str:
    if not isinstance(content, list):
        return text_of(content, place)
    texts = []
    for part in content:
        if not isinstance(part, dict) or part.get("type") != "text":
            raise refused(place, f"'{place}' may hold parts of type text only")
        texts.append(text_of(part.get("text"), place))
    return "".join(texts)


def _check_texts(count: int, limits: LimitsConfig) -> None:
    if count > limits.waiting:
        raise refused("n", f"the request asks for {count} texts; at most {limits.waiting} may wait (limits.waiting)")
