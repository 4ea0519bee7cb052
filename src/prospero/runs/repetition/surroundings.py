"""What two runs ran on, side by side: every fact of environment.json that may move a digit, where it is another."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prospero.errors import DataError
from prospero.plain import flat
from prospero.runs.environment import environment
from prospero.runs.folder import RunFolder
from prospero.secret_values import scrub

COMPARED = ("python", "platform", "packages", "cpu", "hardware", "gpus", "git", "data_fingerprint")
"""Facts of environment.json that may move a digit, and `cpu_cores` only through the threads."""
DIFF = "uncommitted changes"


@dataclass(frozen=True, slots=True)
class Difference:
    """A fact of the surroundings that is another one now."""

    name: str
    then: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.name} {_shown(self.then)} -> {_shown(self.now)}"


def read_environment(run: RunFolder) -> dict[str, Any]:
    """Return the facts of a run's environment.json, the changes of its clone among them; {} when it has none."""
    try:
        found = json.loads(run.environment.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DataError(f"{run.environment} is damaged ({error})") from error
    if not isinstance(found, dict):
        raise DataError(f"{run.environment} is damaged: it holds no facts")
    found[DIFF] = code_diff(run)
    return found


def environment_now() -> dict[str, Any]:
    """Return the facts of here and now, the changes of the clone among them."""
    facts = environment()
    return {**facts, DIFF: scrub(facts["git"].get("diff", ""))}


def code_diff(run: RunFolder) -> str:
    """Return the changes of the run's clone since its commit; empty when there were none."""
    try:
        return run.code_diff.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[Difference]:
    """Return what differs between two environments, as `read_environment` gives them; what then did not say is no fact.

    The text of uncommitted changes is compared whole, and said by its size.
    """
    before, after = ({n: v for n, v in flat(facts).items() if _is_compared(n)} for facts in (then, now))
    names = [name for name in before if before[name] is not None and not _empty(before[name])]
    names += [name for name in after if name not in before and _group(name) in then]
    found = [Difference(name, before.get(name), after.get(name)) for name in names]
    found = [difference for difference in found if difference.then != difference.now]
    changes = scrub(str(then.get(DIFF, ""))), scrub(str(now.get(DIFF, "")))
    if changes[0] != changes[1]:
        found.append(Difference(DIFF, *(f"{len(text.splitlines())} lines of diff" for text in changes)))
    return found


def _group(name: str) -> str:
    return name.partition(".")[0]


def _is_compared(name: str) -> bool:
    return _group(name) in COMPARED and name != "git.changed"


def _empty(value: Any) -> bool:
    return value in ({}, [], "")


def _shown(value: Any) -> str:
    text = "none" if value is None or _empty(value) else str(value)
    return text[:12] if len(text) >= 40 and text.isalnum() else text
