"""What of a finished run is kept in W&B as an artifact, each under the run's id and with what it was made of."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prospero.runs.folder import RunFolder
from prospero.training.loggers.wandb.names import artifact_name


def log_model(run: Any, folder: RunFolder) -> None:
    """Upload the folder model/; nothing where the run has left none."""
    if not folder.model.is_dir():
        return
    artifact = _artifact(run, "model", "model", _result(folder))
    for file in sorted(folder.model.rglob("*")):
        if file.is_file():
            _add_file(artifact, file, str(file.relative_to(folder.model)))
    run.log_artifact(artifact, aliases=["latest", "best"])


def log_receipt(run: Any, folder: RunFolder) -> None:
    """Upload what the data were: read, kept, dropped and why, tokens of each split."""
    artifact = _artifact(run, "receipt", "receipt", {})
    _add_file(artifact, folder.receipt)
    run.log_artifact(artifact)


def log_evaluation(run: Any, folder: RunFolder, tables: Mapping[str, Sequence[dict[str, str]]]) -> None:
    """Upload the run's results, and the last table of each task as one that W&B shows."""
    import wandb

    artifact = _artifact(run, "evaluation", "evaluation", _result(folder))
    for file in (folder.result, folder.metrics, folder.evaluation):
        if file.is_file():
            _add_file(artifact, file)
    for name, rows in tables.items():
        artifact.add(wandb.Table(columns=list(rows[0]), data=[list(row.values()) for row in rows]), name)
    run.log_artifact(artifact)


def _artifact(run: Any, what: str, kind: str, metadata: dict[str, Any]) -> Any:
    import wandb

    return wandb.Artifact(artifact_name(f"{run.id}-{what}"), type=kind, metadata=metadata)


def _add_file(artifact: Any, path: Path, name: str | None = None) -> None:
    """Add a file where it lies, without the copy that W&B would make of it in the user's home."""
    artifact.add_file(str(path), name=name or path.name, policy="immutable", skip_cache=True)


def _result(folder: RunFolder) -> dict[str, Any]:
    """Return the numbers of result.json."""
    found = json.loads(folder.result.read_text(encoding="utf-8"))
    return {name: value for name, value in found.items() if isinstance(value, int | float | str)}
