"""The checkpoints of a run as a reader sees them: found, verified and opened. Needs torch, not Lightning.

<run>/checkpoints/step_00000400/   weights, optimiser, schedule, counters, metrics: what training goes on from
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prospero.checkpoints import folders
from prospero.checkpoints.manifest import read_manifest, verify_folder
from prospero.errors import DataError
from prospero.log import log

_STATE_PREFIX = "model."  # of the language model inside Lightning's state dict
OUR_KEY = "prospero"
STATE_FILE = "state.json"
MONITOR = "val/loss"


def is_checkpoint(path: Path) -> bool:
    """Whether `path` is the folder of a checkpoint, good or damaged."""
    return (path / STATE_FILE).is_file() or (path.is_dir() and path.name.startswith("step_"))


def read_checkpoint(path: Path, *, lazy: bool = False) -> dict[str, Any]:
    """Return the contents of a checkpoint folder with whole tensors on the CPU; DataError when it is damaged.

    All hashes are compared first, and nothing is executed. With `lazy` every tensor is a StoredTensor, not yet read.
    """
    from prospero.checkpoints import read_folder

    if not path.is_dir():
        raise DataError(f"there is no checkpoint folder {path}")
    verify_folder(path)
    if not (path / STATE_FILE).is_file():
        raise DataError(f"{path} is no checkpoint of Prospero")
    checkpoint = read_folder(path, lazy=lambda name: True)
    if not isinstance(checkpoint, dict) or OUR_KEY not in checkpoint or "state_dict" not in checkpoint:
        raise DataError(f"{path} is no checkpoint of Prospero")
    return checkpoint if lazy else _whole(checkpoint)


def model_state(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return the model's own tensors of a checkpoint, by the model's own names."""
    state = checkpoint["state_dict"]
    return {name.removeprefix(_STATE_PREFIX): t for name, t in state.items() if name.startswith(_STATE_PREFIX)}


def find_checkpoint(run_dir: Path, which: str = "last") -> Path | None:
    """Return the `last` or `best` checkpoint of a run whose every byte is as written, None when there is none.

    `best` has the lowest val/loss, and is the last where none was validated. A damaged one is passed over, with one
    warning that names it.
    """
    candidates: list[tuple[Path, float | None]] = []
    for folder in folders.folders_of(run_dir / "checkpoints"):
        try:
            candidates.append((folder, read_manifest(folder).get(MONITOR)))
        except DataError as error:
            log.warning("passing over the checkpoint %s: %s", folder.name, error)
    if which == "best":
        candidates.sort(key=lambda found: found[1] if found[1] is not None else float("inf"))
    for folder, _ in candidates:
        try:
            verify_folder(folder)
            return folder
        except DataError as error:
            log.warning("passing over the checkpoint %s: %s", folder.name, error)
    return None


def _whole(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_whole(item) for item in value)
    return value.whole() if hasattr(value, "whole") else value
