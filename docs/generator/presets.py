"""The presets of `conf/`: what each is for, which part it is of, and what it sets."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from prospero.configuration.help_text import preset_comment
from prospero.paths import config_dir
from prospero.registry import MULTIPLE


@dataclass(frozen=True)
class Preset:
    """One file of a group."""

    group: str
    name: str
    comment: str
    part: str | None
    """The registered part that it sets; None where it chooses among others or lies over a whole run."""
    sets: str
    """What it sets, as it stands in the file."""
    package: str
    """Where its settings stand in a run."""

    @property
    def choice(self) -> str:
        """The word that chooses it."""
        return f"'{self.group}=[{self.name}]'" if self.group in MULTIPLE else f"{self.group}={self.name}"


def presets_of(group: str) -> list[Preset]:
    """Return the presets of a group by name."""
    return [_read(group, path) for path in sorted((config_dir() / group).glob("*.yaml"))]


def default_choices(verb: str) -> dict[str, str]:
    """Return group -> what conf/<verb>.yaml chooses in it, the root that it builds on included."""
    path = config_dir() / f"{verb}.yaml"
    found: dict[str, str] = {}
    for entry in _tree(path).get("defaults", []):
        if isinstance(entry, str) and (config_dir() / f"{entry}.yaml").is_file() and entry != "base":
            found |= default_choices(entry)
        elif isinstance(entry, dict):
            for key, value in entry.items():
                group = str(key).removeprefix("override ").lstrip("/")
                found[group] = f"[{','.join(value)}]" if isinstance(value, list) else str(value or "null")
    return found


def _read(group: str, path: Path) -> Preset:
    text = path.read_text(encoding="utf-8")
    tree = _tree(path)
    schemas = [entry for entry in tree.get("defaults", []) if str(entry).startswith(f"/schema/{group}/")]
    part = str(schemas[0]).removeprefix(f"/schema/{group}/").partition("@")[0] if len(schemas) == 1 else None
    packages = [line.partition("@package")[2].strip() for line in text.splitlines() if "@package" in line]
    return Preset(group, path.stem, preset_comment(path), part, _settings_text(text), (packages or [group])[0])


def _tree(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


def _settings_text(text: str) -> str:
    """Return a preset's lines without the comment at its head, and without the line that names its schema."""
    lines = text.splitlines()
    while lines and lines[0].startswith("#"):
        lines.pop(0)
    return "\n".join(line for line in lines if not line.startswith("defaults: [/schema/")).strip()
