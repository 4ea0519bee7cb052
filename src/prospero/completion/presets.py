"""The presets as files: what a root chooses, which parts a preset stands for, what it says about itself."""

import re
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from prospero import registry
from prospero.paths import config_dir

_LOADER: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
_SCHEMA = re.compile(r"/?schema/(\w+)/([\w.-]+?)(@.*)?")
_PACKAGE = re.compile(r"#\s*@package\s+([\w.]+)")
_LIST = re.compile(r"[\s\[\],'\"]+")


@dataclass(slots=True)
class Part:
    """A part that a preset brings."""

    name: str
    """What it is called among several of its group."""
    kind: str
    """Its name in the registry."""
    values: dict[str, Any] = field(default_factory=dict)
    """What the preset sets."""


@dataclass(slots=True)
class Menu:
    """The presets in the folders that a command line names."""

    folders: list[Path]

    @classmethod
    def of(cls, words: list[str]) -> "Menu":
        """Return those in conf/ and in the folders of --config-dir."""
        folders = [config_dir()]
        for option in ("--config-dir", "-cd"):
            folders += [Path(word.partition("=")[2]) for word in words if word.startswith(f"{option}=")]
            folders += [Path(after) for word, after in pairwise(words) if word == option]
        return cls(folders)

    def names(self, group: str) -> list[str]:
        """Return the presets of a group."""
        return sorted({path.stem for folder in self.folders for path in (folder / group).glob("*.yaml")})

    def comment(self, group: str, name: str) -> str:
        """Return the comment at the head of a preset; nothing where there is none."""
        words = []
        for line in _text(self._path(group, name)).splitlines():
            if not line.startswith("#"):
                break
            words += [] if "@package" in line else [line.lstrip("# ")]
        return " ".join(words)

    def groups(self, verb: str) -> dict[str, list[str]]:
        """Return group -> the presets that a verb's root chooses in it, in the order of the root."""
        found: dict[str, list[str]] = {}
        for item in _defaults(_tree(self._path("", verb))):
            if isinstance(item, str) and item in registry.VERBS:
                found |= self.groups(item)
            elif isinstance(item, dict):
                found |= {
                    _group(key): _names(value) for key, value in item.items() if not key.startswith("override hydra")
                }
        return found

    def overridden(self, group: str, name: str) -> dict[str, list[str]]:
        """Return group -> presets that a preset of experiment= or debug= chooses in other groups."""
        items = (item for item in _defaults(_tree(self._path(group, name))) if isinstance(item, dict))
        return {_group(key): _names(value) for item in items for key, value in item.items()}

    def parts(self, group: str, name: str, seen: tuple[str, ...] = ()) -> list[Part]:
        """Return the parts that a preset brings: one, or several where it names others."""
        if name in seen:
            return []
        path = self._path(group, name)
        tree, package = _tree(path), _PACKAGE.search(_text(path))
        found: list[Part] = []
        for item in _defaults(tree):
            schema = _SCHEMA.fullmatch(item) if isinstance(item, str) else None
            if schema and schema[1] == group:
                called = package[1].rpartition(".")[2] if package and group in registry.MULTIPLE else schema[2]
                found.append(Part(called, schema[2]))
            elif isinstance(item, str) and not schema and item != "_self_":
                found += self.parts(group, item.rpartition("/")[2], (*seen, name))
        values = {key: value for key, value in tree.items() if key != "defaults"}
        if len(found) == 1:
            found[0].values = found[0].values | values
        return found

    def _path(self, group: str, name: str) -> Path:
        places = [folder / group / f"{name}.yaml" for folder in self.folders]
        return next((path for path in places if path.is_file()), places[0])


@cache
def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


@cache
def _tree(path: Path) -> dict[str, Any]:
    try:
        found = yaml.load(_text(path), Loader=_LOADER)
    except (yaml.YAMLError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _defaults(tree: dict[str, Any]) -> list[Any]:
    found = tree.get("defaults")
    return found if isinstance(found, list) else []


def _group(key: str) -> str:
    """`override /model` is the group model."""
    return key.split()[-1].lstrip("/").partition("@")[0]


def _names(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def names_in(value: str) -> list[str]:
    """Return the names in `small` or `[default,ema]`."""
    return [name for name in _LIST.split(value) if name]
