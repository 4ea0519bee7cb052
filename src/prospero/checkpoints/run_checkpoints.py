"""The checkpoints of a run as a reader sees them: opened once, verified once, and passed on as objects.

<run>/checkpoints/step_00000400/   weights, optimiser, schedule, counters, metrics: what training goes on from

Needs torch, not Lightning. Nothing here removes a folder, readable or not.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prospero.checkpoints import folders
from prospero.checkpoints.manifest import MANIFEST, compare_files, read_manifest
from prospero.errors import DataError
from prospero.log import log

if TYPE_CHECKING:
    from prospero.checkpoints.reading import StoredTensor

_STATE_PREFIX = "model."  # of the language model inside Lightning's state dict
OUR_KEY = "prospero"
STATE_FILE = "state.json"
MONITOR = "val/loss"
EVALUATION_WEIGHTS = "evaluation_weights"
"""Key of the weights that were validated, {name of the parameter: tensor}, where they are not the last ones."""
GRADIENTS = "gradients"
"""Key of the gradients of the last step, {name of the parameter: tensor}, where the run keeps them."""


_COUNT, _AMOUNT, _TABLE = "a count", "a number of 0 or more", Mapping
MANIFEST_TYPES = {"step": _COUNT, "tokens": _COUNT, "metrics": _TABLE, "monitor": str, "higher_is_better": bool}
MEMORY_TYPES = {
    **dict.fromkeys(("step", "consumed_sequences", "consumed_tokens", "total_steps"), _COUNT),
    **dict.fromkeys(("seconds", "paused_seconds"), _AMOUNT),
    **dict.fromkeys(("model", "config", "metrics", "guard", "objective", "parts", "data_digests"), _TABLE),
    **dict.fromkeys(("data_fingerprint", "tokenizer_fingerprint"), str),
}
"""Name -> what stands there, where it stands there."""


def check_types(values: Mapping[str, Any], types: Mapping[str, Any], place: Path) -> None:
    """Raise DataError for the first of `values` that is not what `types` says: a class, a count or an amount."""
    for name, kind in types.items():
        value = values.get(name)
        if value is None:
            continue
        if kind is _COUNT:
            fits = type(value) is int and 0 <= value < 2**63
        elif kind is _AMOUNT:
            fits = type(value) in (int, float) and 0 <= value < math.inf
        else:
            fits = isinstance(value, kind)
        if not fits:
            wanted = kind if isinstance(kind, str) else f"of type {kind.__name__}"
            raise DataError(f"{place} is damaged: '{name}' is {str(value)[:60]!r}, which is not {wanted}")


@contextmanager
def readable_damage(place: Path) -> Iterator[None]:
    """Turn what goes wrong with contents that are signed, and yet not what they should be, into a DataError."""
    try:
        yield
    except DataError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        text = (str(error).splitlines() or [""])[0][:120]
        raise DataError(
            f"{place} is damaged: it does not hold what it should ({type(error).__name__}: {text})"
        ) from error


class Checkpoint:
    """One checkpoint folder. Each of its files is hashed at most once in the life of the object."""

    def __init__(self, path: Path, manifest: Mapping[str, Any]) -> None:
        self.path = path
        self.manifest = manifest
        """Step, tokens, metrics and the SHA-256 of every file."""
        self._compared: set[str] = set()
        self._damage: str | None = None
        self._tree: dict[str, Any] | None = None

    @classmethod
    def open(cls, path: Path | str) -> "Checkpoint":
        """Read the manifest of the folder `path`; DataError when that is damaged or the folder is no checkpoint."""
        path = Path(path)
        if not path.is_dir():
            raise DataError(f"there is no checkpoint folder {path}")
        manifest = read_manifest(path)
        if STATE_FILE not in manifest["files"]:
            raise DataError(f"{path} is no checkpoint of Prospero")
        check_types(manifest, MANIFEST_TYPES, path / MANIFEST)
        return cls(path, manifest)

    def __repr__(self) -> str:
        return f"Checkpoint({self.path})"

    @property
    def step(self) -> int:
        """The optimiser step after which it was taken."""
        return int(self.manifest["step"])

    @property
    def tokens(self) -> int:
        """Tokens that training had consumed."""
        return int(self.manifest["tokens"] or 0)

    @property
    def monitor(self) -> str:
        """The metric by which its run ranks checkpoints."""
        return self.manifest.get("monitor", MONITOR)

    @property
    def higher_is_better(self) -> bool:
        """Whether a higher value of `monitor` is the better one."""
        return bool(self.manifest.get("higher_is_better", False))

    def value(self, monitor: str | None = None) -> float | None:
        """Return what this step's validation gave for `monitor` (its run's own), None when it was not validated."""
        monitor = monitor or self.monitor
        found = self.manifest.get("metrics", {}).get(monitor)
        return found if found is not None else self.manifest.get(monitor)

    @property
    def verified(self) -> bool:
        """Whether every file is known to be as it was written."""
        return self._damage is None and self._compared >= self.manifest["files"].keys()

    def verify(self, part: int = 0, parts: int = 1) -> "Checkpoint":
        """Compare the files with the manifest, those not compared before; DataError at a difference.

        Of `parts` processes that share the work each reads the files of its `part`.
        """
        if self._damage is not None:
            raise DataError(self._damage)
        names = [name for name in list(self.manifest["files"])[part::parts] if name not in self._compared]
        try:
            compare_files(self.path, {name: self.manifest["files"][name] for name in names})
        except DataError as error:
            self._damage = str(error)
            raise
        self._compared |= set(names)
        return self

    def trust(self) -> "Checkpoint":
        """Take the word of the run's other processes that all files are as they were written."""
        self._compared |= self.manifest["files"].keys()
        return self

    def read(self, lazy: bool | Callable[[str], bool] = True) -> dict[str, Any]:
        """Return the verified contents, a tree of the caller's own; DataError when they are damaged.

        With `lazy` every tensor (or each whose name it picks) is a StoredTensor, not yet read; else all are whole
        tensors on the CPU. Nothing is executed.
        """
        from prospero.checkpoints.reading import read_folder

        self.verify()
        with readable_damage(self.path):
            tree = read_folder(self.path, lazy=lazy if callable(lazy) else lambda name: True)
        if not isinstance(tree, dict) or OUR_KEY not in tree or "state_dict" not in tree:
            raise DataError(f"{self.path} is no checkpoint of Prospero")
        check_types(tree, {OUR_KEY: Mapping, "state_dict": Mapping}, self.path)
        check_types(tree[OUR_KEY], MEMORY_TYPES, self.path)
        return tree if lazy else _whole(tree)

    @property
    def memory(self) -> dict[str, Any]:
        """What the run remembers of itself, verified: model, config, counters, metrics."""
        return self._contents[OUR_KEY]

    def model_state(self) -> "dict[str, StoredTensor]":
        """Return the model's last weights and buffers, verified and not yet read, by the model's own names."""
        state = self._contents["state_dict"]
        return {name.removeprefix(_STATE_PREFIX): t for name, t in state.items() if name.startswith(_STATE_PREFIX)}

    def evaluation_weights(self) -> "dict[str, StoredTensor] | None":
        """Return the weights that were validated, by parameter, where they are others than the last; else None.

        A run of before kept an average of its weights (callbacks.ema) and validated that where its settings say so.
        """
        contents = self._contents
        if EVALUATION_WEIGHTS in contents:
            return contents[EVALUATION_WEIGHTS]
        callbacks = (self.memory.get("config") or {}).get("callbacks") or {}
        ema = callbacks.get("ema") or {}
        if "ema" in contents and ema.get("evaluate") and ema.get("keep"):
            return contents["ema"]["weights"]
        return None

    def gradients(self) -> "dict[str, StoredTensor] | None":
        """Return the gradients of the last step before the save, by parameter; None where the run kept none."""
        return self._contents.get(GRADIENTS)

    @property
    def _contents(self) -> dict[str, Any]:
        if self._tree is None:
            self._tree = self.read(lazy=True)
        return self._tree


class RunCheckpoints:
    """The checkpoints in the folder `checkpoints/` of a run; one object of each, whoever asks for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._opened: dict[Path, Checkpoint] = {}
        self.unreadable: dict[Path, DataError] = {}
        """The folders that were passed over, and why."""

    def all(self) -> list[Checkpoint]:
        """Return those with a readable manifest, newest first; each other one is named in one warning."""
        found = []
        for path in folders.folders_of(self.folder):
            try:
                found.append(self._open(path))
            except DataError as error:
                self._pass_over(path, error)
        return found

    def after(self, step: int) -> list[Checkpoint]:
        """Return those of later steps than `step`, newest first."""
        return [checkpoint for checkpoint in self.all() if checkpoint.step > step]

    def last(self) -> Checkpoint | None:
        """Return the newest whose every byte is as written, None when there is none."""
        return self._first_whole(self.all())

    def best(self, monitor: str | None = None, *, higher_is_better: bool = False) -> Checkpoint | None:
        """Return the best by `monitor` whose every byte is as written; the last where none was validated.

        Without `monitor` the newest checkpoint says what its run ranks by, and which way.
        """
        candidates = self.all()
        if monitor is None and candidates:
            monitor, higher_is_better = candidates[0].monitor, candidates[0].higher_is_better

        def rank(checkpoint: Checkpoint) -> float:
            value = checkpoint.value(monitor)
            if value is None or math.isnan(value):
                return math.inf
            return -value if higher_is_better else value

        return self._first_whole(sorted(candidates, key=rank))  # of equals, and of those without a value, the newest

    def _open(self, path: Path) -> Checkpoint:
        known, found = self._opened.get(path), Checkpoint.open(path)
        if known is not None and known.manifest == found.manifest:
            return known
        self.unreadable.pop(path, None)  # a new one of the same step
        self._opened[path] = found
        return found

    def _first_whole(self, candidates: list[Checkpoint]) -> Checkpoint | None:
        for checkpoint in candidates:
            try:
                return checkpoint.verify()
            except DataError as error:
                self._pass_over(checkpoint.path, error)
        return None

    def _pass_over(self, path: Path, error: DataError) -> None:
        if path not in self.unreadable:
            log.warning("passing over the checkpoint %s: %s", path.name, error)
        self.unreadable[path] = error


def is_checkpoint(path: Path) -> bool:
    """Whether `path` is the folder of a checkpoint, good or damaged."""
    return (path / STATE_FILE).is_file() or (path.is_dir() and path.name.startswith("step_"))


def _whole(value: Any) -> Any:
    from prospero.checkpoints.reading import StoredTensor

    if isinstance(value, StoredTensor):
        return value.whole()
    if isinstance(value, Mapping):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_whole(item) for item in value)
    return value
