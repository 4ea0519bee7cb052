"""What may stand at the cursor of a command line: verbs, options, groups, settings, their values, runs and files."""

import dataclasses
import os
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from prospero import registry
from prospero.completion import places
from prospero.completion.presets import Menu, Part, names_in
from prospero.configuration.options import CHOICES, OPTIONS, SWEEP
from prospero.configuration.schema import constant, field_docs, schema
from prospero.printable import printable

RUNS = frozenset({"run", "runs", "init_from", "teacher"})
PATHS = frozenset(
    {"path", "prompt_file", "prompts", "image", "out", "run_dir", "outputs_dir", "templates_file", "encoder", "store",
     "source", "statistics", "metadata", "lexicon", "include_path", "horizon", "folder", "template", "resume",
     "config_dir", *RUNS}
)  # fmt: skip
"""Settings, by their last name, whose text is a run, and those whose text may be a file or a folder."""
FOLDERS = frozenset({"outputs_dir", "run_dir", "dataset"})
WORDS = {
    "resume": ("auto", "last", "best"), "sweep": ("last",), "run": ("last",), "runs": ("last",),
    "init_from": ("last",), "template": ("plain", "chatml"), "split": ("val", "test", "train"),
}  # fmt: skip
"""Last name of a setting of text -> words that it takes beside others."""
LAYERS = {"experiment": "a recipe: a size and what belongs to it", "debug": "a way to find a fault"}


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """A word that may stand at the cursor."""

    text: str
    meaning: str = ""
    goes_on: bool = False
    """Whether more of the same word follows: a value, a setting inside it, a file in a folder."""


@dataclasses.dataclass(slots=True)
class Asked:
    """A verb, the words after it, and what the cursor's word begins with."""

    verb: str
    words: list[str]
    word: str
    menu: Menu

    @property
    def outputs_dir(self) -> str:
        """Where the runs are, by the words or by default."""
        given = [word.partition("=")[2] for word in self.words if word.startswith("outputs_dir=")]
        return os.path.expanduser(given[-1]) if given else "outputs"


def candidates(words: list[str], word: str) -> list[Candidate]:
    """Return what may stand at the cursor, after whole words, where something begins with `word`.

    The words are those of the command, its program first: `prospero train`, `python train.py`, `python -m prospero`.
    """
    verb, rest = _verb(words)
    if verb is None:
        return [] if rest is None else _beginning(word, _verbs(rest))
    entry = registry.VERBS[verb]
    asked = Asked(verb, rest or [], word, Menu.of(words))
    before = asked.words[-1] if asked.words else ""
    if entry.settings is None:
        return _of_plain_verb(asked)
    if before in OPTIONS:
        found = _option_value(asked, before)
        if found is not None:
            return found
    if word.startswith("-"):
        return _beginning(word, (Candidate(option) for option in OPTIONS if option.startswith("--") or len(word) > 1))
    if "=" in word:
        return _values(asked)
    found = _beginning(word, _first_words(asked)) if not asked.words else []
    return [*found, *_names(asked)]


def _verb(words: list[str]) -> tuple[str | None, list[str] | None]:
    """Return (verb, the words after it); (None, words) where the verb is still to come, (None, None) where none is."""
    if not words:
        return None, None
    program, rest = os.path.basename(words[0]), words[1:]
    if program.startswith("python"):
        while rest and rest[0].startswith("-") and rest[0] != "-m":
            rest = rest[2:] if rest[0] in ("-X", "-W") else rest[1:]
        if rest[:2] == ["-m", "prospero"]:
            rest = rest[2:]
        else:
            script = Path(rest[0]) if rest else Path()
            known = script.suffix == ".py" and script.stem in registry.VERBS
            return (script.stem, rest[1:]) if known else (None, None)
    if not rest:
        return None, rest
    return registry.in_two_words(rest[0], rest[1:]) if rest[0] in registry.VERBS else (None, None)


def _verbs(rest: list[str]) -> Iterator[Candidate]:
    for name, verb in registry.VERBS.items():
        if registry.as_typed(name) == name:
            yield Candidate(name, verb.summary)
    yield from (Candidate("--help", "the commands"), Candidate("--version"))


def _option_value(asked: Asked, option: str) -> list[Candidate] | None:
    """Return what may follow an option; None where it takes no value."""
    if not OPTIONS[option]:
        return None
    if option in ("--config-dir", "-cd"):
        return [_path(path) for path in places.files(asked.word, folders=True)]
    return _beginning(asked.word, map(Candidate, CHOICES.get(option, [])))


def _of_plain_verb(asked: Asked) -> list[Candidate]:
    actions = registry.VERBS[asked.verb].actions
    if not asked.words:
        return _beginning(asked.word, map(Candidate, (*actions, "--help")))
    if asked.verb == "completion":
        return []
    return [_path(path) for path in places.files(asked.word)]


def _first_words(asked: Asked) -> Iterator[Candidate]:
    """Yield what a first word without = may be: the second word of a verb of two, the values of the verb's `word`."""
    for name, verb in registry.VERBS.items():
        if name.startswith(f"{asked.verb}_") and registry.as_typed(name) != name:
            yield Candidate(name.removeprefix(f"{asked.verb}_"), verb.summary)
    setting = registry.VERBS[asked.verb].word
    if setting is not None:
        inner = dataclasses.replace(asked, word=f"{setting}={asked.word}")
        for one in _values(inner):
            if "=" not in (text := one.text.removeprefix(f"{setting}=")):
                yield dataclasses.replace(one, text=text)


def _root(asked: Asked) -> Any:
    settings = registry.VERBS[asked.verb].settings
    assert settings is not None
    return schema(settings)


def _chosen(asked: Asked, group: str) -> list[Part]:
    """Return the parts that are chosen in a group: by the words, by a preset of a layer, or by the root."""
    groups = asked.menu.groups(asked.verb)
    names = groups.get(group, [])
    for word in asked.words:
        key, equals, value = word.lstrip("+").partition("=")
        if equals and key in LAYERS:
            names = asked.menu.overridden(key, value).get(group, names)
    for word in asked.words:
        key, equals, value = word.partition("=")
        if equals and key == group:
            names = names_in(value)
    return [part for name in names for part in asked.menu.parts(group, name)]


def _names(asked: Asked) -> list[Candidate]:
    """Return the settings and groups that begin with what was typed, one level of dots at a time."""
    sign = asked.word[: len(asked.word) - len(asked.word.lstrip("+~"))]
    begun = asked.word[len(sign) :]
    prefix, dot, _ = begun.rpartition(".")
    given = {word.lstrip("+~").partition("=")[0] for word in asked.words}
    found = _inside(asked, prefix.split(".")) if dot else _top(asked)
    kept = (one for one in found if one.text.startswith(begun) and one.text.removesuffix("=") not in given)
    return [dataclasses.replace(one, text=sign + one.text) for one in kept]


def _top(asked: Asked) -> Iterator[Candidate]:
    root, groups = _root(asked), asked.menu.groups(asked.verb)
    docs, hints = field_docs(root), get_type_hints(root)
    for group in groups:
        meaning = docs.get(group) or LAYERS.get(group, "")
        yield Candidate(f"{group}=", meaning, goes_on=True)
        if group not in LAYERS:
            yield Candidate(f"{group}.", f"a setting of {group}", goes_on=True)
    for name in hints:
        if name not in groups:
            yield _setting(name, hints[name], docs.get(name, ""), {})


def _inside(asked: Asked, path: list[str]) -> Iterator[Candidate]:
    """Yield the settings one level below a dotted name."""
    head = ".".join(path)
    if path[0] in registry.MULTIPLE and len(path) == 1:
        for part in _chosen(asked, path[0]):
            yield Candidate(f"{head}.{part.name}.", _summary(path[0], part), goes_on=True)
        return
    seen: set[str] = set()
    for kind, values in _classes(asked, path):
        docs = field_docs(kind)
        for name, hint in get_type_hints(kind).items():
            if name not in seen:
                seen.add(name)
                yield _setting(f"{head}.{name}", hint, docs.get(name, ""), values, name)


def _summary(group: str, part: Part) -> str:
    path = registry.PARTS.get(group, {}).get(part.kind)
    return (schema(path).__doc__ or "").strip() if path else ""


def _setting(path: str, hint: Any, meaning: str, values: dict[str, Any], name: str = "") -> Candidate:
    """Return a setting, with the value that its preset gives it where that is one."""
    if any(dataclasses.is_dataclass(kind) for kind in _kinds(hint)):
        return Candidate(f"{path}.", meaning, goes_on=True)
    value = values.get(name)
    shown = (
        ""
        if value is None or isinstance(value, dict | list)
        else f" [{str(value).lower() if isinstance(value, bool) else value}]"
    )
    return Candidate(f"{path}=", f"{meaning}{shown}", goes_on=True)


def _classes(asked: Asked, path: list[str]) -> list[tuple[Any, dict[str, Any]]]:
    """Return the settings classes that a dotted name stands for, each with the values of its preset."""
    group, *rest = path
    if group not in registry.PARTS:
        start: list[tuple[Any, dict[str, Any]]] = [(_root(asked), {})]
        rest = path
    else:
        parts = _chosen(asked, group)
        if group in registry.MULTIPLE:
            member, *rest = rest or [""]
            parts = [part for part in parts if part.name == member]
        known = registry.PARTS[group]
        start = [(schema(known[part.kind]), part.values) for part in parts if part.kind in known]
    for name in rest:
        inner = []
        for kind, values in start:
            hint = get_type_hints(kind).get(name)
            below = values.get(name)
            inner += [
                (k, below if isinstance(below, dict) else {}) for k in _kinds(hint) if dataclasses.is_dataclass(k)
            ]
        start = inner
    return start


def _kinds(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _values(asked: Asked) -> list[Candidate]:
    """Return the values that a setting or group may have, as whole words."""
    key, _, value = asked.word.partition("=")
    name = key.lstrip("+~")
    swept = any(option in asked.words for option in SWEEP)
    several = value.startswith("[")
    head, comma, begun = value.rpartition(",") if several or swept else ("", "", value)
    if several and not comma:
        head, begun = "[", value[1:]
    before = f"{key}={head}{comma}"
    groups = asked.menu.groups(asked.verb)
    if name in groups:
        given = names_in(head)
        found: Iterable[Candidate] = (
            Candidate(preset, asked.menu.comment(name, preset))
            for preset in asked.menu.names(name)
            if preset not in given
        )
    else:
        found = _of_setting(asked, name, begun)
    known = _beginning(begun, found)
    return [dataclasses.replace(one, text=before + one.text, goes_on=one.goes_on or several) for one in known]


def _of_setting(asked: Asked, name: str, begun: str) -> Iterator[Candidate]:
    """Yield the values of a setting, those of text as far as its name says what they are."""
    hints = _hints(asked, name)
    kinds = [kind for hint in hints for kind in _kinds(hint)]
    kinds += [kind for hint in kinds if get_origin(hint) is list for kind in get_args(hint)]
    for kind in dict.fromkeys(kinds):
        if kind is bool:
            yield from (Candidate("true"), Candidate("false"))
        elif isinstance(kind, type) and issubclass(kind, Enum):
            yield from map(Candidate, kind.__members__)
    if str in kinds:
        yield from _of_text(asked, name.rpartition(".")[2], begun)
    if NoneType in kinds:
        yield Candidate("null")


def _hints(asked: Asked, name: str) -> list[Any]:
    path, _, last = name.rpartition(".")
    classes = _classes(asked, path.split(".")) if path else [(_root(asked), {})]
    found = (get_type_hints(kind).get(last) for kind, _ in classes)
    return [hint for hint in found if hint is not None]


def _of_text(asked: Asked, last: str, begun: str) -> Iterator[Candidate]:
    yield from map(Candidate, WORDS.get(last, ()))
    if last in RUNS:
        yield from (Candidate(name, when) for name, when in places.runs(asked.outputs_dir) if _is_plain(name))
        yield from (Candidate(*one) for one in places.models(asked.outputs_dir))
    if last == "sweep":
        yield from map(Candidate, filter(_is_plain, places.sweeps(asked.outputs_dir)))
    if last == "monitor":
        yield from (Candidate(f"val/{part.name}") for part in _chosen(asked, "metrics"))
    if last == "sort":
        module = registry.VERBS[asked.verb].function.partition(":")[0]
        yield from map(Candidate, constant(module, "COLUMNS") or ())
    paths = last in PATHS and (begun or last not in RUNS)
    if paths or last in FOLDERS:
        yield from (_path(path) for path in places.files(begun, folders=last in FOLDERS) if _is_plain(path))


def _is_plain(name: str) -> bool:
    """Whether a name typed as a value is read as that name: quotes around it, and ${, have a meaning of their own."""
    return "${" not in name and not (len(name) > 1 and name[0] == name[-1] and name[0] in "'\"")


def _path(path: str) -> Candidate:
    return Candidate(path, goes_on=path.endswith("/"))


def _beginning(begun: str, found: Iterable[Candidate]) -> list[Candidate]:
    """Return each once, those that begin with what was typed and can be shown."""
    kept = {one.text: one for one in found if one.text.startswith(begun) and printable(one.text) == one.text}
    return list(kept.values())
