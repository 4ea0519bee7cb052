"""`checkpoint`: look at what a run has saved: are its files as they were written, what do they hold, as one model."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prospero.configuration.words import refuse_undecodable
from prospero.errors import ConfigError, DataError, suggest
from prospero.plain import flat
from prospero.runs.folder import RunFolder

if TYPE_CHECKING:
    from prospero.checkpoints.run_checkpoints import Checkpoint

EXAMPLES = [
    ("prospero checkpoint verify outputs/a", "is every byte of a run's checkpoints and model as it was written?"),
    ("prospero checkpoint show outputs/a", "step, metrics, settings, tensors and files of the newest"),
    (
        "prospero checkpoint merge outputs/a/checkpoints/step_00000400 outputs/a_400",
        "the weights of all processes as one model folder, for generate and others",
    ),
]
RAW = "raw"
"""Word after the paths of `merge`: the weights of the last step, also where an average of them was validated."""


def checkpoint(words: list[str]) -> int:
    """Do `verify | merge | show` with the paths that follow; return the exit code."""
    actions: dict[str, Callable[..., int]] = {"verify": verify, "merge": merge, "show": show}
    name, *rest = words or [""]
    if name not in actions:
        said = f"There is no 'checkpoint {name}'.{suggest(name, actions)} " if name else ""
        raise ConfigError(f"{said}Write prospero checkpoint {' | '.join(actions)} <path>; see --help.")
    option = next((word for word in rest if word.startswith("-")), None)
    if option:
        raise ConfigError(f"checkpoint {name} has no option '{option}'; it takes paths only")
    merges = name == "merge"
    raw = merges and len(rest) > 1 and rest[-1] == RAW
    paths = rest[:-1] if raw else rest
    if not 1 <= len(paths) <= (2 if merges else 1):
        wanted = f"a path, perhaps the folder to write, perhaps '{RAW}'" if merges else "one path"
        raise ConfigError(f"checkpoint {name} takes {wanted}; found {' '.join(rest) or 'nothing'}")
    for word in paths if name != "verify" else ():  # safetensors opens no other path; verify reads plain bytes
        refuse_undecodable(word)
    return merge(*map(Path, paths), raw=raw) if merges else actions[name](*map(Path, paths))


def verify(path: Path) -> int:
    """Compare every file of a run, a checkpoint or a model folder with its manifest; 0 when all is well, else 2."""
    from prospero.checkpoints.manifest import verify_folder

    bad = 0
    for folder in _folders_in(path):
        try:
            manifest = verify_folder(folder)
        except DataError as error:
            bad += 1
            print(f"BAD  {folder}: {error}")
            continue
        files = manifest["files"]
        size = _size(sum(file["bytes"] for file in files.values()))
        print(f"ok   {folder}: {len(files)} files, {size}{_where(folder, manifest)}")
    return 2 if bad else 0


def merge(path: Path, out: Path | None = None, *, raw: bool = False) -> int:
    """Write the weights of a checkpoint (of a run: its best one) as one model folder that `generate` opens.

    They are those that were validated; `raw` takes those of the last step where an average of them was validated.
    """
    from prospero.checkpoints.model_folder import CONFIG_FILE, MODEL_FILE, load_model, save_model_folder
    from prospero.checkpoints.run_checkpoints import is_checkpoint

    source = _checkpoint_of(path)
    place = source.path
    beside = place.parent if _holds_checkpoints(place.parent) else place
    out = out or beside.with_name(f"model_{place.name}")
    is_model = os.path.isfile(out / MODEL_FILE) and os.path.isfile(out / CONFIG_FILE)
    if os.path.exists(out) and (is_checkpoint(out) or not is_model):
        raise ConfigError(f"{out} exists and is no model folder, so it is not replaced; name another folder")
    model, tokenizer, config = load_model(source, raw=raw)
    facts = {**config["facts"], "checkpoint": place.name}
    try:
        save_model_folder(out, model.state_dict(), tokenizer, config["model"], facts=facts)
    except OSError as error:
        raise ConfigError(f"{out} cannot be written ({error.strerror}); name another folder") from error
    said = [config["facts"].get("weights"), None if tokenizer else "without a tokenizer: none was found beside it"]
    print("; ".join([f"{place} -> {out}", *filter(None, said)]))
    return 0


def show(path: Path) -> int:
    """Print what a checkpoint (of a run: its newest) holds: step, tokens, metrics, settings, tensors, files."""
    from prospero.checkpoints.reading import read_tensors

    found = _checkpoint_of(path, "last")
    folder, manifest, memory = found.path, found.manifest, found.memory
    print(f"{folder}{_where(folder, manifest)}")
    print(f"written by {manifest['world_size']} process(es), {manifest['strategy']}")
    for title in ("metrics", "config"):
        print(f"\n{title}:")
        for name, value in flat(memory.get(title) or {}).items():
            print(f"  {name} = {value}")
    tensors = sorted(read_tensors(folder).values(), key=lambda tensor: (-tensor.n_bytes, tensor.name))
    print(f"\n{len(tensors)} tensors, {_size(sum(tensor.n_bytes for tensor in tensors))}:")
    for tensor in tensors:
        print(f"  {_size(tensor.n_bytes):>10}  {str(tensor.dtype)[6:]:8}  {list(tensor.shape)!s:16}  {tensor.name}")
    print("\nfiles:")
    for name, file in manifest["files"].items():
        print(f"  {_size(file['bytes']):>10}  {file['sha256'][:16]}  {name}")
    return 0


def _folders_in(path: Path) -> list[Path]:
    from prospero.checkpoints.folders import folders_of
    from prospero.checkpoints.manifest import MANIFEST
    from prospero.checkpoints.model_folder import CONFIG_FILE
    from prospero.checkpoints.run_checkpoints import is_checkpoint

    _exists(path)
    if is_checkpoint(path) or (path / MANIFEST).is_file():
        return [path]
    found = list(folders_of(_checkpoints_of(path)))[::-1]
    models = [folder for folder in (path, RunFolder(path).model) if (folder / CONFIG_FILE).is_file()]
    if not found and not models:
        raise DataError(f"{path} holds neither checkpoints nor a model; give a run, a checkpoint or a model folder")
    return found + models


def _checkpoint_of(path: Path, which: str = "best") -> "Checkpoint":
    from prospero.checkpoints.run_checkpoints import Checkpoint, RunCheckpoints, is_checkpoint

    _exists(path)
    if is_checkpoint(path):
        return Checkpoint.open(path)
    checkpoints = RunCheckpoints(_checkpoints_of(path))
    found = checkpoints.best() if which == "best" else checkpoints.last()
    if found is None:
        raise DataError(f"{path} holds no good checkpoint; give a run folder or the folder of a checkpoint")
    return found


def _holds_checkpoints(path: Path) -> bool:
    return path == RunFolder(path.parent).checkpoints


def _checkpoints_of(path: Path) -> Path:
    """Return the folder of checkpoints that `path` is, or that it has as a run."""
    return path if _holds_checkpoints(path) else RunFolder(path).checkpoints


def _exists(path: Path) -> None:
    if os.path.isdir(path):
        return
    siblings = [other.name for other in path.parent.iterdir()] if os.path.isdir(path.parent) else []
    what = "is a file" if os.path.isfile(path) else "does not exist"
    raise DataError(f"{path} {what}; give a run, a checkpoint or a model folder.{suggest(path.name, siblings)}")


def _where(folder: Path, manifest: Mapping[str, Any]) -> str:
    from prospero.checkpoints.run_checkpoints import Checkpoint

    if manifest.get("step") is None:
        return ""  # a model folder
    found = Checkpoint(folder, manifest)
    value = found.value()
    validated = f", {found.monitor} {value:.4f}" if value is not None else ""
    return f", step {found.step:,}, {found.tokens:,} tokens{validated}"


def _size(n_bytes: int) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= scale:
            return f"{n_bytes / scale:.1f} {unit}"
    return f"{n_bytes} B"
