"""The settings of a run as its config.yaml has them."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from prospero.errors import DataError
from prospero.plain import flat

_HYDRAS_OWN = ("defaults", "hydra")


def read_config(path: Path) -> dict[str, Any]:
    """Return the settings in a run's config.yaml as plain values, without what Hydra needs to compose them again.

    Nothing is looked up: a value given as `${oc.env:NAME}` stays that text. Raises DataError when it cannot be read.
    """
    try:
        found = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except FileNotFoundError as error:
        raise DataError(f"there is no {path}") from error
    except (OSError, ValueError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise DataError(f"{path} is damaged ({str(error).splitlines()[0]})") from error
    if not isinstance(found, dict):
        raise DataError(f"{path} is damaged: it holds no settings")
    return {str(name): _as_text(value) for name, value in found.items() if name not in _HYDRAS_OWN}


def read_parts(path: Path) -> dict[str, str]:
    """Return group -> the part that a run's config.yaml chooses in it (`model: lstm`), for groups of one part.

    Raises DataError when it cannot be read.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DataError(f"{path} is damaged ({str(error).splitlines()[0]})") from error
    return _parts_in(found)


def _parts_in(found: Any) -> dict[str, str]:
    words = found.get("defaults", []) if isinstance(found, dict) else []
    words = words if isinstance(words, list) else []
    named = (re.fullmatch(r"/schema/(\w+)/([\w.-]+)@\1", str(word)) for word in words)
    return {match[1]: match[2] for match in named if match}


def read_flat(path: Path) -> dict[str, Any]:
    """Return dotted name -> value of all settings in a run's config.yaml, the chosen parts under their groups' names.

    What `read_config` and `read_parts` return together, in a tenth of their time: for readers of hundreds of runs.
    Raises DataError when it cannot be read.
    """
    try:
        return _flat_of(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"there is no {path}") from error
    except (OSError, ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        raise DataError(f"{path} is damaged ({str(error).splitlines()[0]})") from error


def _flat_of(text: str) -> dict[str, Any]:
    """The settings and parts in a text, block by block: of many runs most blocks are alike, and are parsed once."""
    text = _COMMENTS.sub("", text, count=1)
    blocks = _BLOCK.split(text)
    if blocks[0] or len(blocks) < 2 or _NEEDS_THE_WHOLE.search(text):
        settings, parts = _parsed(text)
        return settings | parts
    try:
        parsed = [_parsed_block(block) for block in blocks[1:]]
    except (ValueError, yaml.YAMLError):
        parsed = [_parsed(text)]  # what is no block of its own may be a part of a longer text
    settings = {name: value for found, _ in parsed for name, value in found.items()}
    return settings | {name: value for _, parts in parsed for name, value in parts.items()}


def _parsed(text: str) -> tuple[dict[str, Any], dict[str, str]]:
    found = yaml.load(text, _Quick)
    if not isinstance(found, dict):
        raise ValueError("it holds no settings")
    settings = {str(name): _as_text(value) for name, value in found.items() if name not in _HYDRAS_OWN}
    return flat(settings), _parts_in(found)


_parsed_block = lru_cache(maxsize=4096)(_parsed)
_COMMENTS = re.compile(r"\A(#[^\n]*\n|\n)*")
_BLOCK = re.compile(r"^(?=[A-Za-z_'\"])", re.MULTILINE)
"""Where a setting of the first level begins."""
_NEEDS_THE_WHOLE = re.compile(r"[&*|>]|^[?{\[%]|^---|^\.\.\.|\t", re.MULTILINE)
"""Marks of YAML that join what stands apart, or begin texts of several lines."""


_Fastest: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


class _Quick(_Fastest):
    """The parser in C where there is one, which takes 1e-3 for a number and a date for a text, as OmegaConf does."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {
        first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
        for first, found in _Fastest.yaml_implicit_resolvers.items()
    }


_Quick.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d[\d_]*(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def _as_text(value: Any) -> Any:
    r"""Return plain values in which a text's own `${`, written `\${`, stands as it was."""
    if isinstance(value, dict):
        return {key: _as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_text(item) for item in value]
    escaped = r"(\\+)\$\{"
    return re.sub(escaped, lambda m: m[1][: len(m[1]) // 2] + "${", value) if isinstance(value, str) else value
