"""Two small corpora for the tests of mixtures, and the settings that mix them."""

from pathlib import Path
from typing import Any

from prospero.data.mixture.parts import MixturePartConfig
from prospero.data.mixture.settings import MixtureConfig
from prospero.data.settings import PrepareConfig
from prospero.data.sources.files import FilesConfig
from tests.data.shard_making import sentences, settings, write_corpus


def parts(folder: Path, **changes: dict[str, Any]) -> list[MixturePartConfig]:
    """Return the parts `few` (60 texts, weight 1) and `many` (150 texts, weight 3), with changes by name."""
    found = []
    for name, n, weight in (("few", 60, 1.0), ("many", 150, 3.0)):
        path = folder / name / "corpus.jsonl"
        if not path.exists():
            write_corpus(folder / name, sentences(n, seed=n))
        given = {"data": "files", "name": name, "weight": weight, "settings": FilesConfig(path=str(path))}
        found.append(MixturePartConfig(**(given | changes.get(name, {}))))
    return found


def mixed(
    folder: Path, data: dict[str, Any] | None = None, *, of: dict[str, Any] | None = None, **changes: Any
) -> PrepareConfig:
    """Return settings of the mixture of both: `data` changes the mixture's, `of` the parts' by name."""
    config = MixtureConfig(parts=parts(folder, **(of or {})), **(data or {}))
    return settings(folder, folder, data=config, **changes)
