"""The sweeps as the board shows them: the settings in which their jobs differ, and how each job stands."""

from pathlib import Path
from typing import Any

from prospero.board.places import key_of, sweep_folders
from prospero.errors import ProsperoError
from prospero.printable import printable
from prospero.sweeps.find import jobs_of, varied
from prospero.sweeps.folder import SWEEP_FILE, read_record


def sweeps_below(root: Path) -> list[dict[str, Any]]:
    """Return all sweeps, the newest first, those that cannot be read with a note."""
    return sorted((_sweep(path, root) for path in sweep_folders(root)), key=lambda one: one["name"], reverse=True)


def _sweep(path: Path, root: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"key": key_of(path, root), "name": printable(path.name), "note": None}
    try:
        jobs, record = jobs_of(path), read_record(path)
        names = varied([job for job, _ in jobs])
        return found | {
            "state": str(record.get("state")),
            "varied": [printable(name) for name in names],
            "jobs": [
                {
                    "run": key_of(job.folder, root),
                    "number": int(job.number),
                    "status": status.value.lower(),
                    "settings": {printable(name): printable(value) for name, value in job.settings().items()},
                }
                for job, status in jobs
            ],
        }
    except (ProsperoError, OSError, LookupError, TypeError, ValueError, AttributeError):
        return found | {"state": "damaged", "varied": [], "jobs": [], "note": f"{SWEEP_FILE} cannot be read"}
