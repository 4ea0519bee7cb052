"""The settings of a run as its config.yaml has them."""

import re
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from prospero.errors import DataError

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
    words = found.get("defaults", []) if isinstance(found, dict) else []
    named = (re.fullmatch(r"/schema/(\w+)/([\w.-]+)@\1", str(word)) for word in words)
    return {match[1]: match[2] for match in named if match}


def _as_text(value: Any) -> Any:
    r"""Return plain values in which a text's own `${`, written `\${`, stands as it was."""
    if isinstance(value, dict):
        return {key: _as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_text(item) for item in value]
    escaped = r"(\\+)\$\{"
    return re.sub(escaped, lambda m: m[1][: len(m[1]) // 2] + "${", value) if isinstance(value, str) else value
