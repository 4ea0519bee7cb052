"""What must not be written down: values taken from the environment, and values behind names that look like a secret's.

`remember` is told each such value once, when the settings are read; `scrub` takes it out of any text on its way to a
file, the log or the screen. Names are judged by `is_secret`.
"""

import html
import json
import os
import re
from collections.abc import Iterable

REDACTED = "<redacted>"
_WORDS = {"key", "keys", "apikey", "token", "secret", "secrets", "password", "passwd", "passphrase", "credential",
          "credentials"}  # fmt: skip
_HARMLESS = {"eot_token"}
"""Settings of ours that only look like it: a tokenizer's end-of-text token."""
_SHORTEST = 6
"""Shorter values, and plain numbers, are not looked for in texts: every `20` of a log would be replaced."""
_OC_ENV = re.compile(r"oc\.env:\s*['\"]?(\w+)")

_known: dict[str, str] = {}
"""Value, as it is or as it looks inside JSON, HTML or a Python string -> what is written in its place."""


def is_secret(name: str) -> bool:
    """Whether the last word of a setting's or a variable's name says that its value is a secret: `hub.access_token`."""
    last = name.rsplit(".", 1)[-1].lstrip("+~").lower().replace("-", "_")
    return last not in _HARMLESS and any(word in _WORDS for word in last.split("_"))


def remember(value: object, instead: str = REDACTED) -> None:
    """Have `value` replaced by `instead` in every text from now on."""
    text = str(value)
    if len(text) < _SHORTEST or re.fullmatch(r"[-+\d.eE_]*|true|false", text, re.IGNORECASE):
        return
    for form in (text, json.dumps(text)[1:-1], html.escape(text), repr(text)[1:-1]):
        _known.setdefault(form, instead)


def remember_environment(texts: Iterable[str] = ()) -> None:
    """Remember the variables that `texts` take by `${oc.env:NAME}`, and those of the environment named like secrets."""
    for text in texts:
        for name in _OC_ENV.findall(text):
            if name in os.environ:
                remember(os.environ[name], f"${{oc.env:{name}}}")
    for name, value in os.environ.items():
        if is_secret(name.lower()):
            remember(value, f"${{oc.env:{name}}}")


def remember_settings(words: Iterable[str]) -> None:
    """Remember the values of command-line words such as `logger.wandb.api_key=...`."""
    for word in words:
        name, equals, value = word.partition("=")
        if equals and is_secret(name):
            remember(value.strip("'\""))


def scrub(text: str) -> str:
    """Return `text` with every remembered value replaced; longer values first."""
    for value in sorted(_known, key=len, reverse=True):
        if value in text:
            text = text.replace(value, _known[value])
    return text


def redacted_word(word: str) -> str:
    """Return a word of a command line, with the value of a setting that is named like a secret replaced."""
    name, equals, _ = word.partition("=")
    return f"{name}={REDACTED}" if equals and is_secret(name) else scrub(word)


def forget() -> None:
    """Forget every value (for tests)."""
    _known.clear()
