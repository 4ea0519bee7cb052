"""What `--help` prints: the commands people really type, the menu read from the presets as they are on disk, and the
settings with the values that the given words compose to.
"""

import dataclasses
import os
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from prospero import registry
from prospero.configuration import plugins
from prospero.configuration.composition import composed
from prospero.configuration.schema import constant, field_docs
from prospero.configuration.words import LAYERS
from prospero.configuration.written import join, redact
from prospero.paths import config_dir
from prospero.plain import flat


def overview() -> str:
    """Return the help of `prospero` itself."""
    lines = ["Prospero: a laboratory for language models on Lightning and Hydra.", "", "commands:"]
    lines += [f"  prospero {registry.as_typed(name):<12} {verb.summary}" for name, verb in registry.VERBS.items()]
    lines += ["", "`prospero <command> --help` shows examples and settings; `python <command>.py` is the same command."]
    return "\n".join(lines)


def examples(verb: str) -> list[tuple[str, str]]:
    """Return the (command, comment) pairs that stand as EXAMPLES beside the verb's function."""
    return constant(registry.VERBS[verb].function.partition(":")[0], "EXAMPLES") or []


def of_plain_verb(verb: str) -> str:
    """Return the help of a verb that takes words instead of settings."""
    return "\n".join(_head(verb))


def of_verb(verb: str, root: str, words: list[str]) -> str:
    """Return a verb's help: its commands, the menu of groups, the root's own settings, Hydra's options.

    `words` are the settings that were given beside `--help`: values are shown as they compose, and the parts chosen
    by them are shown with every setting. Raises Hydra's own errors where they do not compose.
    """
    cfg = composed(root, words, with_hydra=True)
    docs = field_docs(_settings_class(cfg, verb))
    groups = [*(group for group in registry.PARTS if group in docs), *(g for g in LAYERS if g in _choices(cfg))]
    named = {group: names for group, names in plugins.chosen_on(words).items() if group in groups}
    lines = [*_head(verb), "", "groups (choose with group=name, change one setting with group.setting=value):"]
    for group in groups:
        several = " [several]" if group in registry.MULTIPLE else ""
        chosen = named.get(group) or _choices(cfg).get(group) or list(cfg.get(group) or [])
        names = ", ".join(f"*{name}" if name in chosen else name for name in menu(group))
        lines += _wrapped(f"  {group + several:<24}", names)
    lines += [f"      * chosen{'' if named else ' by default'}", "", "settings (name=value):"]
    for name, text in docs.items():
        inner = OmegaConf.get_type(cfg, name) if isinstance(cfg.get(name), DictConfig) else None
        if dataclasses.is_dataclass(inner) and name not in registry.PARTS:
            lines += [*_wrapped(f"  {name:<24}", text), *_fields(cfg._get_node(name), inner, name)]
        elif name not in registry.PARTS:
            lines += _wrapped(f"  {f'{name}={_shown(cfg, name, name)}':<24}", text)
    for group, names in named.items():
        lines += ["", *_chosen(cfg, group, names)]
    lines += ["", "options:"]
    lines += ["  --cfg job               print the composed settings and do nothing"]
    lines += ["  -m, --multirun          a sweep over comma-separated values"] if verb == "train" else []
    lines += ["  --config-dir FOLDER     more presets of your own, laid out like conf/"]
    lines += ['  completion in the shell:  eval "$(prospero completion bash)"']
    lines += ["", f"`{verb} <group>=<name> --help` lists every setting of that part. All presets: {_shown_folder()}"]
    return "\n".join(lines)


def menu(group: str) -> list[str]:
    """Return the names of the presets of a group: those in `conf/`, in the user's folders, and the plugins' parts."""
    found = {path.stem for folder in plugins.search_folders() for path in (folder / group).glob("*.yaml")}
    return sorted(found | set(registry.ADDED.get(group, {})))


def preset_comment(path: Path) -> str:
    """Return the comment at the head of a preset: its help text."""
    words = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if "@package" not in line:
            words.append(line.lstrip("# "))
    return " ".join(words)


def _head(verb: str) -> list[str]:
    lines = [f"{registry.as_typed(verb)}: {registry.VERBS[verb].summary}", "", "examples:"]
    for command, comment in examples(verb):
        lines += [f"  {command}", f"      {comment}"]
    return lines


def _choices(cfg: DictConfig) -> dict[str, list[str]]:
    """group -> the preset chosen in it, for the groups in which the defaults name one."""
    choices = cfg.hydra.runtime.choices.items()
    return {str(group): [choice] if choice else [] for group, choice in choices}


def _settings_class(cfg: DictConfig, verb: str) -> Any:
    kind = OmegaConf.get_type(cfg)
    return kind if dataclasses.is_dataclass(kind) else registry.VERBS[verb].settings


def _preset(group: str, name: str) -> Path | None:
    candidates = (folder / group / f"{name}.yaml" for folder in plugins.search_folders())
    return next((path for path in candidates if os.path.isfile(path)), None)


def _comment(group: str, name: str) -> str:
    path = _preset(group, name)
    return preset_comment(path) if path else ""


def _chosen(cfg: DictConfig, group: str, names: list[str]) -> Iterator[str]:
    """Yield the help of what was chosen in a group: its comment, and every setting with its value and meaning."""
    if group in LAYERS:
        for name in names:
            yield from _layer(group, name)
        return
    node = cfg._get_node(group)
    if group not in registry.MULTIPLE:
        yield from _part(node, group, f"{group}={names[-1]}", _comment(group, names[-1]))
        return
    if not isinstance(node, DictConfig):
        return
    members = [str(key) for key in node]
    for name in names:
        if name not in members:
            yield from _wrapped(f"{group}={name}:", _comment(group, name))
    for name in members:
        yield from _part(node._get_node(name), f"{group}.{name}", f"{group}={name}", _comment(group, name))


def _part(node: Any, prefix: str, head: str, comment: str) -> Iterator[str]:
    light = OmegaConf.get_type(node)
    if not dataclasses.is_dataclass(light):
        return
    doc = " ".join((light.__doc__ or "").split())
    yield from _wrapped(f"{head}:", comment or doc)
    if comment and not doc.startswith(f"{light.__name__}("):
        yield from _wrapped(" ", doc)
    yield from _fields(node, light, prefix)


def _fields(node: Any, light: Any, prefix: str) -> Iterator[str]:
    """Yield one entry for each setting, those of the settings inside it included."""
    docs = field_docs(light)
    for item in dataclasses.fields(light):
        path, child = join(prefix, item.name), node._get_node(item.name)
        inner = OmegaConf.get_type(child) if isinstance(child, DictConfig) else None
        if dataclasses.is_dataclass(inner):
            yield from _wrapped(f"  {path:<40}", docs.get(item.name, ""))
            yield from _fields(child, inner, path)
        else:
            yield from _wrapped(f"  {f'{path}={_shown(node, item.name, path)}':<40}", docs.get(item.name, ""))


def _layer(group: str, name: str) -> Iterator[str]:
    """Yield what a preset of experiment= or debug= is for, and everything that it sets."""
    path = _preset(group, name)
    if path is None:
        return
    yield from _wrapped(f"{group}={name}:", preset_comment(path))
    tree: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    for item in tree.pop("defaults", []):
        for key, value in item.items() if isinstance(item, dict) else []:
            yield f"  {str(key).split()[-1].lstrip('/')}={_text(value)}"
    for key, value in flat(redact(tree)).items():
        yield f"  {key}={_text(value)}"


def _shown(node: Any, name: str, path: str) -> str:
    """Return the value of a setting as it would be typed; ??? stands for one that must be given."""
    child = node._get_node(name)
    raw = OmegaConf.to_container(child) if isinstance(child, DictConfig | ListConfig) else child._value()
    return _text(redact(raw, path))


def _text(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]  # type: ignore[index]
    if isinstance(value, list):
        return f"[{','.join(_text(item) for item in value)}]"
    return value.name if isinstance(value, Enum) else str(value)


def _shown_folder() -> str:
    folder = config_dir()
    return "ls conf" if folder.parent == Path.cwd() else f"ls {folder}"


def _wrapped(head: str, text: str, width: int = 118) -> list[str]:
    lines, line = [], head
    for word in text.split():
        if len(line) + 1 + len(word) > width:
            lines.append(line)
            line = " " * 24
        line += " " + word
    return [*lines, line]
