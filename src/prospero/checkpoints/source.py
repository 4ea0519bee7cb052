"""Where a run begins when it does not begin at random: the model folder or checkpoint that `init_from` stands for.

Its description and tokenizer are read at once, its weights tensor by tensor, of each only what a process holds.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prospero.checkpoints.manifest import MANIFEST, describe_file, read_manifest
from prospero.checkpoints.model_folder import (
    CONFIG_FILE,
    MODEL_FILE,
    TOKENIZER_FILE,
    locate,
    model_settings,
    read_description,
    verify_model_folder,
)
from prospero.checkpoints.run_checkpoints import Checkpoint, check_types
from prospero.data.tokenizer.tokenizer import load_tokenizer
from prospero.errors import ConfigError, DataError
from prospero.runs.folder import RunFolder

if TYPE_CHECKING:
    from prospero.checkpoints.reading import StoredTensor

_TYPES = {"given": str, "path": str, "model": Mapping, "fingerprint": str, "tokenizer": str, "trained_on": list}


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """The beginning of a run, as plain values: its receipt, which the run keeps."""

    given: str
    """What `init_from` said."""
    path: str
    """The model folder, or the checkpoint."""
    model: dict[str, Any]
    """The model's description."""
    fingerprint: str
    """Hash of the folder's manifest, which holds those of all its files."""
    tokenizer: str
    """Fingerprint of its tokenizer."""
    trained_on: list[str | None]
    """Fingerprints of the prepared data of its training, and before that of what it began from; None: not known."""

    @classmethod
    def open(cls, given: str, path: Path, *, verify: bool = True) -> "Source":
        """Read what `path` (a run, a model folder or a checkpoint) is; `verify` compares every file with its hash.

        Raises DataError when it holds no model or is damaged, ConfigError when it is a model with an adapter beside it.
        """
        place = locate(path)
        if isinstance(place, Checkpoint):
            facts = (place if verify else place.trust()).memory
            model = facts.get("model")
            if not isinstance(model, Mapping):
                raise DataError(f"{place.path} does not say what model it holds")
        else:
            if verify:
                verify_model_folder(place)
            description = read_description(place)
            model, facts = description["model"], description["facts"]
        folder = place.path if isinstance(place, Checkpoint) else place
        if "adapter" in model:
            raise ConfigError(
                f"{folder} holds an adapter beside its model; fold it in first: prospero checkpoint merge {folder}"
            )
        model_settings(model)  # nothing is known of a model that has none
        return cls(
            given=given,
            path=str(folder),
            model=dict(model),
            fingerprint=_fingerprint(folder),
            tokenizer=load_tokenizer(_tokenizer_file(folder)).fingerprint(),
            trained_on=[*trained_before(facts), facts.get("data_fingerprint")],
        )

    @classmethod
    def from_plain(cls, values: Any, place: Path) -> "Source":
        """Return what `plain` wrote into the file `place`; DataError when it is something else."""
        names = {field.name for field in fields(cls)}
        if not isinstance(values, Mapping) or values.keys() | {"trained_on"} != names:
            raise DataError(f"{place} is damaged: it does not say where the weights of the run come from")
        values = {"trained_on": [None], **values}  # not yet told by earlier versions
        check_types(values, _TYPES, place)
        return cls(**values)

    def plain(self) -> dict[str, Any]:
        """Return the receipt."""
        return asdict(self)

    @property
    def vocab_size(self) -> int:
        """Rows of its embedding."""
        return self.model["vocab_size"]

    @property
    def max_seq_len(self) -> int:
        """Tokens that it can read at once."""
        return self.model["max_seq_len"]

    def tokenizer_file(self) -> Path:
        """Return its tokenizer.json; DataError when there is none (any more)."""
        return _tokenizer_file(Path(self.path))

    def weights(self) -> "dict[str, StoredTensor]":
        """Return its tensors by name, not yet read: of a checkpoint the weights that were validated.

        Raises DataError when it is not there any more, or is another one than when the run began.
        """
        from prospero.checkpoints.reading import tensors_of_file

        place = locate(Path(self.path))
        folder = place.path if isinstance(place, Checkpoint) else place
        if _fingerprint(folder) != self.fingerprint:
            raise DataError(f"{folder} is not what it was when the run began there; begin a new run in another run_dir")
        if not isinstance(place, Checkpoint):
            return tensors_of_file(place / MODEL_FILE)
        place.trust()
        return place.model_state() | (place.evaluation_weights() or {})


def trained_before(facts: Mapping[str, Any]) -> list[str | None]:
    """Return what a model's facts say of the data of the models that it began from, the first one first."""
    source = facts.get("init_from")
    return [] if not source else list(source.get("trained_on", [None]))


def _tokenizer_file(folder: Path) -> Path:
    places = [folder] if (folder / MODEL_FILE).is_file() else [folder.parent, RunFolder(folder.parent.parent).model]
    for place in places:
        if (place / TOKENIZER_FILE).is_file():
            return place / TOKENIZER_FILE
    raise DataError(f"{folder} has no {TOKENIZER_FILE}, so a run that begins there could read no text")


def _fingerprint(folder: Path) -> str:
    if (folder / MANIFEST).is_file():
        return read_manifest(folder)["sha256"]
    return describe_file(folder / MODEL_FILE)["sha256"]


def is_source(path: Path) -> bool:
    """Whether `path` is a folder that Prospero wrote: a run, a checkpoint, or a model of its own description."""
    if (path / CONFIG_FILE).is_file() and (path / MODEL_FILE).is_file():
        return (path / MANIFEST).is_file() or "model" in read_description(path, checked=False)
    return path.is_dir() and (RunFolder(path).holds_a_run or path.name.startswith("step_"))
