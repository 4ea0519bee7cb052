"""What a run's evaluations have measured: of each task the newest, with what its items are compared by."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prospero.errors import DataError
from prospero.runs.folder import EvaluationFolder, RunFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """One task, as an evaluation of a run measured it."""

    folder: EvaluationFolder
    task: str
    values: Mapping[str, float]
    """Quantity -> its number over all items."""
    higher_is_better: Mapping[str, bool]
    facts: Mapping[str, Any]
    """Settings of the task and the fingerprint of its data."""
    items: int


def evaluations_of(run: RunFolder) -> dict[str, Evaluated]:
    """Return task -> its newest evaluation; DataError for a file that is damaged."""
    folders = [EvaluationFolder(path) for path in run.evaluations.glob("*") if EvaluationFolder(path).results.is_file()]
    found: dict[str, Evaluated] = {}
    for folder in sorted(folders, key=lambda folder: folder.results.stat().st_mtime):
        try:
            tasks = json.loads(folder.results.read_text(encoding="utf-8"))["tasks"]
            found |= {task: _evaluated(folder, task, fields) for task, fields in tasks.items()}
        except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise DataError(f"{folder.results} is damaged, or no result of an evaluation; remove it") from error
    return found


def _evaluated(folder: EvaluationFolder, task: str, fields: Mapping[str, Any]) -> Evaluated:
    known = {name: one for name, one in fields["values"].items() if one["value"] is not None}
    return Evaluated(
        folder=folder,
        task=task,
        values={name: float(one["value"]) for name, one in known.items()},
        higher_is_better={name: bool(one["higher_is_better"]) for name, one in known.items()},
        facts=fields["facts"],
        items=int(fields["items"]),
    )
