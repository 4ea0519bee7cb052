"""What W&B takes as the name of a project, as a tag, and as the name of an artifact."""

import re

from prospero.errors import ConfigError
from prospero.log import log

LONGEST_TAG, LONGEST_NAME = 64, 128
"""Characters that W&B takes for a tag, and for the name of a run, a group or a project."""
_NOT_IN_A_PROJECT = "/\\#?%:"


def check_project(setting: str, project: str) -> None:
    """Raise ConfigError, which names the setting, for a project that W&B does not take."""
    refused = sorted({char for char in project if char in _NOT_IN_A_PROJECT})
    if refused or not 1 <= len(project) <= LONGEST_NAME:
        what = f"holds {' '.join(refused)}" if refused else f"has {len(project)} characters"
        raise ConfigError(
            f"{setting}={project} {what}; W&B takes 1 to {LONGEST_NAME} characters, none of "
            f"{' '.join(_NOT_IN_A_PROJECT)}"
        )


def fitting_tags(tags: list[str]) -> list[str]:
    """Return the tags as W&B takes them, each once: an empty one is left out, a long one cut, and both are said."""
    fitting = {}
    for tag in tags:
        cut = tag.strip()[:LONGEST_TAG].strip()
        if cut != tag or not cut:
            how = f"it is sent as '{cut}'" if cut else "it is left out"
            log.warning("W&B takes tags of 1 to %d characters: '%s' is too long or empty, %s", LONGEST_TAG, tag, how)
        fitting[cut] = None
    return [tag for tag in fitting if tag]


def artifact_name(text: str) -> str:
    """Return `text` with every character that W&B does not take in the name of an artifact as a dash."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", text)[:LONGEST_NAME]
