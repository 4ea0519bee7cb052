"""result.json: how a run ended and what it measured, written once at its end.

{"objective": ..., "objective_name": ..., "status": ..., metrics...}
"""

import json
from enum import Enum
from pathlib import Path
from typing import Any

from prospero.runs.folder import RunFolder


class Status(Enum):
    """How a job stands."""

    waiting = "WAITING"
    running = "RUNNING"
    stopped = "STOPPED"
    """Ended with the sweep before its time; the same command goes on with it."""
    done = "DONE"
    pruned = "PRUNED"
    """Ended by the sweep's pruner: others were better after as many tokens."""
    failed = "FAILED"

    @property
    def ended(self) -> bool:
        """Whether the job is over for good."""
        return self in (Status.done, Status.pruned, Status.failed)


def read_result(folder: Path) -> dict[str, Any]:
    """Return what the run in `folder` wrote at its end; an empty dict when it has written nothing readable."""
    try:
        found = json.loads(RunFolder(folder).result.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def status_of_result(metrics: dict[str, Any]) -> Status:
    """DONE or PRUNED, as the run says itself; FAILED when it has written no result."""
    if not metrics:
        return Status.failed
    return Status.pruned if metrics.get("status") == Status.pruned.value else Status.done
