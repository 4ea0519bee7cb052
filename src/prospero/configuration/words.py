"""The words of a command line as Hydra's grammar takes them: for a setting that is text, what was typed is its value.

Hydra reads every value by a grammar of its own, which knows no letter outside ASCII, turns 1.10 into 1.1, and gives
quotes, commas, parentheses and ${...} a meaning. The schema says which settings are text (paths, names, prompts, tags);
their values are quoted here. What keeps its meaning in them: quotes around the whole value, ${...} that refers to
something (not in a prompt), null where none is a choice, commas between the values of a sweep.
"""

import functools
import re
from collections.abc import Callable
from decimal import Decimal
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import grammar_parser
from omegaconf.errors import GrammarParseError

from prospero import registry
from prospero.configuration.schema import schema
from prospero.configuration.written import without_references
from prospero.errors import ConfigError

FOR_THE_MODEL = frozenset({"prompt", "prompts", "stop", "system"})
"""Settings, by their last name, whose text is the model's: nothing in it refers to anything."""

LAYERS = ("experiment", "debug")
"""Groups whose presets hold no part: they change settings all over."""

SHORTER = {
    "evaluation.tasks": "tasks", "evaluation": "callbacks.evaluation",
    "analysis.analyses": "analyses", "analysis": "callbacks.analysis",
}  # fmt: skip
"""How the settings of what is measured inside training may be spelt -> what they are called; the first that fits."""

NAMES_ITS_PARTS = {("tasks", "lm_eval"): "tasks"}
"""(group of several, part) -> the list among the part's settings that `group=[part:text]` fills."""

_WORD = re.compile(r"(?P<sign>~|\+{0,2})(?P<key>[^=]*)=(?P<value>.*)", re.DOTALL)
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
_SAFE = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*", re.ASCII)
_KEYWORD = re.compile(r"true|false|null|inf|nan", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(\d[\d_]*\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_FUNCTION = re.compile(r"(choice|shuffle|sort|tag|range|interval|glob|str|int|float|bool|json_str|extend_list)\(.*\)",
                       re.DOTALL)  # fmt: skip
_OPENING, _CLOSING = "([{", ")]}"
_LARGEST = 2.0**63


def for_hydra(verb: str, words: list[str], *, swept: bool = False) -> list[str]:
    """Return the words of a verb's command line so that Hydra reads what was meant; `swept`: commas part values.

    The modules of `plugins` must be loaded. Raises ConfigError, in one line, for a word that cannot be read.
    """
    return [_for_hydra(verb, word, swept) for word in written_out(words)]


def written_out(words: list[str]) -> list[str]:
    """Return the words with `tasks=[lm_eval:arc_easy]` as the two settings that it is short for.

    Raises ConfigError when the longer spelling stands beside it.
    """
    return [longer for word in words for longer in _longer(word, words)]


def _longer(word: str, words: list[str]) -> list[str]:
    group, equals, value = word.partition("=")
    lists = {part: setting for (of, part), setting in NAMES_ITS_PARTS.items() if of == group and equals}
    inner = value.strip()
    is_list = inner.startswith("[") and inner.endswith("]")
    given = [unquoted(text) for text in _split(inner[1:-1] if is_list else inner)] if lists else []
    cut = [(part, text) for part, colon, text in (item.partition(":") for item in given) if colon and part in lists]
    if not cut or (not is_list and len(given) > 1):
        return [word]
    heads = [item.partition(":")[0] for item in given]
    parts = list(dict.fromkeys(head if head in lists else item for head, item in zip(heads, given)))
    found = [f"{group}=[{','.join(plain_or_quoted(part) for part in parts)}]"]
    for part in dict.fromkeys(name for name, _ in cut):
        setting = f"{group}.{part}.{lists[part]}"
        if any(other.partition("=")[0] == setting for other in words):
            raise ConfigError(f"{group}=[{part}:...] and {setting}=[...] say the same; give one of them")
        texts = [plain_or_quoted(text) for name, text in cut if name == part]
        found.append(f"{setting}=[{','.join(texts)}]")
    return found


def _for_hydra(verb: str, word: str, swept: bool) -> str:
    if not (verb == "prepare" and word.startswith("data.path=")):  # somebody's folder may be called anything
        refuse_undecodable(word)
    found = _WORD.fullmatch(word)
    if found is None:
        return word if word.startswith("~") and _is_readable(word) else _refuse(word)
    key, value, sign = found["key"], found["value"], found["sign"]
    if not sign and _names_an_entry(verb, key):
        sign = "++"  # any name may stand there, and Hydra adds none by itself
    hint = None if found["sign"] == "~" else hint_of(verb, key)
    kinds = _kinds(hint)
    name = key.rpartition(".")[2]
    if kinds - {NoneType} == {str}:
        if name in FOR_THE_MODEL:
            return f"{sign}{key}={quoted(_escaped(value))}"
        value = _each(value, swept, lambda text: _text(text, null=NoneType in kinds))
    elif list[str] in kinds:
        value = _each(value, swept, lambda text: _texts(key, text, prompts=name in FOR_THE_MODEL))
    elif int in kinds:
        value = _each(value, swept, _whole)
    elif _is_group(key):
        value = _each(value, swept, lambda text: _choice(key, text))
    return _readable(sign, key, value)


def _names_an_entry(verb: str, key: str) -> bool:
    """Whether a key names an entry of a setting that holds values by names of the user's own: `models.small`."""
    name, _, entry = key.partition(".")
    settings = registry.VERBS[verb].settings
    if settings is None or not entry or name in registry.PARTS:  # in a group, parts are chosen
        return False
    hints = get_type_hints(schema(settings))
    return any(get_origin(kind) is dict for kind in _kinds(hints.get(name)))


def spelt_out(verb: str, words: list[str]) -> list[str]:
    """Return the words with the settings of SHORTER under their own names, where the verb trains."""
    if "train" not in (verb, registry.VERBS[verb].extends):
        return words
    return [_spelt_out(word) for word in words]


def _spelt_out(word: str) -> str:
    for short, name in SHORTER.items():
        found = re.match(rf"([~+]*){re.escape(short)}(?=\.{'|=' if '.' in short else ''})", word)
        if found:
            return f"{found[1]}{name}{word[found.end() :]}"
    return word


def refuse_undecodable(word: str) -> None:
    """Raise ConfigError for a word with bytes that are not UTF-8, which no file of a run could hold."""
    try:
        word.encode("utf-8")
    except UnicodeEncodeError as error:
        name, equals, _ = word.partition("=")
        where = name if equals and name.isascii() else "a word"
        byte = ord(word[error.start]) & 0xFF
        raise ConfigError(
            f"{where} holds the byte 0x{byte:02X}, which is not UTF-8; write it in UTF-8 (and rename a file or folder "
            "that is called so)"
        ) from error


def quoted(text: str) -> str:
    """Return `text` in quotes, as Hydra's grammar reads it back: backslashes count before a quote and at the end."""
    return "'" + re.sub(r"(\\*)('|\Z)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), text) + "'"


def unquoted(value: str) -> str:
    """Return the text in a value that quotes enclose as a whole, any other value as it is."""
    if not _QUOTED.fullmatch(value):
        return value
    mark = value[0]
    return re.sub(rf"(\\+)({mark}|\Z)", lambda m: m[1][: len(m[1]) // 2] + m[2], value[1:-1])


def plain_or_quoted(text: str) -> str:
    """Return `text` as it is where Hydra's grammar reads it as that text, else in quotes."""
    return text if _SAFE.fullmatch(text) and not _KEYWORD.fullmatch(text) else quoted(text)


def hint_of(verb: str, key: str) -> Any:
    """Return the type hint of the setting `key` of a verb, or None where there is none or parts differ about it."""
    settings = registry.VERBS[verb].settings
    name, *path = key.split(".")
    if key == "hydra.sweep.dir":
        return str
    if settings is None or name not in (hints := get_type_hints(schema(settings))):
        return None
    if not path or name not in registry.PARTS:
        return _hint_in(hints[name], path)
    parts: dict[str, Any] = {other: schema(place) for other, place in registry.PARTS[name].items()}
    parts |= registry.ADDED.get(name, {})
    if name in registry.MULTIPLE:
        member, *path = path
        parts = {member: parts[member]} if member in parts else parts
    found = [hint for part in parts.values() if (hint := _hint_in(part, path)) is not None]
    return found[0] if found and all(_kinds(hint) == _kinds(found[0]) for hint in found) else None


def _hint_in(part: Any, path: list[str]) -> Any:
    """Return the hint of a setting inside a settings class, however deep."""
    hint: Any = part
    for place, name in enumerate(path):
        inner = next((kind for kind in _kinds(hint) if hasattr(kind, "__dataclass_fields__")), None)
        if inner is None:
            return _element(hint, path[place:])
        hint = get_type_hints(inner).get(name)
    return hint


def _element(hint: Any, path: list[str]) -> Any:
    """Return the hint of `tags.0`, of one text among several, or of `models.small`, an entry by a name."""
    by_name = next((kind for kind in _kinds(hint) if get_origin(kind) is dict), None)
    if by_name is not None and len(path) == 1:
        return get_args(by_name)[1]
    return str if list[str] in _kinds(hint) and len(path) == 1 and path[0].isdecimal() else None


def _kinds(hint: Any) -> set[Any]:
    return set(get_args(hint)) if get_origin(hint) in (Union, UnionType) else {hint}


def _each(value: str, swept: bool, one: Callable[[str], str]) -> str:
    """Apply `one` to a value, or to each value of a sweep."""
    if not swept:
        return one(value)
    function = re.fullmatch(r"choice\((.*)\)", value, re.DOTALL)
    if function:
        return f"choice({','.join(one(text) for text in _split(function[1]))})"
    return value if _FUNCTION.fullmatch(value) else ",".join(one(text) for text in _split(value))


def _text(text: str, *, null: bool = False) -> str:
    if not text or _QUOTED.fullmatch(text) or (null and text.lower() == "null"):
        return text if _refers(text) else _escaped(text, again=True)
    return plain_or_quoted(text if _refers(text) else _escaped(text))


def _texts(key: str, value: str, *, prompts: bool) -> str:
    """Quote the elements of a list; an element may stand in quotes already, where it holds a comma."""
    inner = value.strip()
    if not inner.startswith("["):
        return value
    if not inner.endswith("]") or len(inner) == 1:
        raise ConfigError(f"{key}={value} is a list that is not closed; write {key}=[one,two]")
    texts = _split(inner[1:-1]) if inner[1:-1].strip() else []
    if prompts:  # `\${` is left: it stands so in the words that a sweep hands to its jobs
        texts = [quoted(_escaped(unquoted(text), again=True)) for text in texts]
    return f"[{','.join(_text(text) or quoted('') for text in texts)}]"


def _is_group(key: str) -> bool:
    group = key.partition("@")[0]
    return group in registry.PARTS or group in LAYERS or "/" in group


def _choice(group: str, text: str) -> str:
    """Return the names chosen in a group: a number, too, is a name, and nothing at all is none of several."""
    if text.lower() == "null":
        return "[]" if group in registry.MULTIPLE else quoted(text) if group in registry.PARTS else text
    if not text or _QUOTED.fullmatch(text) or (len(_split(text)) > 1 and _is_readable(f"{group}={text}")):
        return text
    return _list_of_texts(text) or plain_or_quoted(text)


def _whole(text: str) -> str:
    """Return a float that is whole as the integer that it is: 50e6 is 50000000."""
    if not _NUMBER.fullmatch(text) or text.lstrip("+-").isdecimal() or abs(float(text)) >= _LARGEST:
        return text
    number = Decimal(text)
    return str(int(number)) if number == number.to_integral_value() else text


def _split(value: str) -> list[str]:
    """Part at the commas that stand in no quotes and no brackets; where brackets do not match, they are text."""
    for brackets in (True, False):
        parts, part, depth, place = [], "", 0, 0
        while place < len(value):
            in_quotes = None if part.strip() else _QUOTED.match(value, place)
            if in_quotes and re.match(r"\s*(,|\Z)", value[in_quotes.end() :]):
                part, place = part + in_quotes[0], in_quotes.end()
                continue
            sign, place = value[place], place + 1
            depth += brackets * ((sign in _OPENING) - (sign in _CLOSING))
            if sign == "," and depth <= 0:
                parts, part = [*parts, part.strip()], ""
            else:
                part += sign
        if depth == 0:
            break
    return [*parts, part.strip()]


def _refers(text: str) -> bool:
    """Whether every ${...} in a text can be read as a reference; one that cannot makes it plain text."""
    if "${" not in text:
        return True
    try:
        grammar_parser.parse(text)
    except GrammarParseError:
        return False
    return True


def _escaped(text: str, *, again: bool = False) -> str:
    """Return a text in which ${...} refers to nothing; `again` leaves what is escaped already."""
    if again:
        return re.sub(r"(?<!\\)\$\{", r"\\${", text)
    return without_references(text)


def _readable(sign: str, key: str, value: str) -> str:
    """Return the word, its value in quotes where Hydra's grammar cannot read it: its type is then what is wrong."""
    word = f"{sign}{key}={value}"
    if not key:
        _refuse(word)
    if _SAFE.fullmatch(value) or _is_readable(word):
        return word if _is_readable(f"{sign}{key}=x") else _refuse(word)
    for other in (_list_of_texts(value), quoted(value)):
        if other is not None and _is_readable(f"{sign}{key}={other}"):
            return f"{sign}{key}={other}"
    return _refuse(word)


def _list_of_texts(value: str) -> str | None:
    inner = value.strip()
    if len(inner) < 2 or inner[0] != "[" or inner[-1] != "]":
        return None
    if not inner[1:-1].strip():
        return "[]"
    return f"[{','.join(_text(text) for text in _split(inner[1:-1]))}]"


@functools.lru_cache(maxsize=4096)
def _is_readable(word: str) -> bool:
    try:
        OverridesParser.create().parse_override(word)
    except HydraException:
        return False
    return True


def _refuse(word: str) -> str:
    key, equals, _ = word.partition("=")
    if equals:
        raise ConfigError(f"'{key}' is not the name of a setting; settings are written name=value, as in max_steps=100")
    raise ConfigError(f"'{word}' is not a setting; settings are written name=value, for example max_steps=100.")
