"""Any data set of the Hugging Face hub, streamed; or a local folder that `datasets` can open. Needs prospero[hub]."""

import importlib
import importlib.util
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prospero.data.document import Document
from prospero.data.hub_access import STREAMING_RETRIES, why_unreachable
from prospero.data.receipt import digest
from prospero.data.sources.find_files import find_files, listing_hash
from prospero.data.sources.json_format import missing_field
from prospero.data.sources.kept_rows import KeptRows
from prospero.data.sources.reading import Reading
from prospero.data.sources.source import SourceConfig
from prospero.errors import ConfigError, DataError, suggest

_NO_NETWORK = {"ConnectionError", "ConnectError", "ConnectTimeout", "ReadTimeout", "OfflineModeIsEnabled", "gaierror"}

_UNREACHABLE = "the Hugging Face hub cannot be reached; check the network (and HF_HUB_OFFLINE), or use "
WITHOUT_NETWORK = "data=files, or data=stdlib, which needs no network"
"""What a run uses instead of the hub."""
ALL_SUBSETS = "*"
"""The subset of `rows` that stands for all of a data set's, one after another."""


@dataclass(kw_only=True, slots=True)
class HubConfig(SourceConfig):
    """Any Hugging Face data set, streamed (needs `pip install "prospero[hub]"`)."""

    dataset: str | None = None
    """Name on the hub such as roneneldan/TinyStories, or a local folder of parquet, jsonl or csv files."""
    subset: str | None = None
    """Configuration of the data set, such as wikitext-103-raw-v1; * for all of them, one after another."""
    revision: str | None = None
    """Branch, tag or commit; only a commit makes sure that the text is the same tomorrow."""
    split: str = "train"
    """Split to read; the program makes its own train, val and test from it."""
    text_field: str = "text"
    """Column that holds the text."""
    max_documents: int | None = None
    """Stop after this many rows of a subset; null reads all of them."""
    max_document_bytes: int = 16777216
    """Longer texts are cut into parts at a line end or a space, in bytes of UTF-8."""
    shards_dir: str | None = field(default=None, metadata={"decides": "never"})
    """Folder in which rows are kept as they stream, so that a preparation that was ended goes on behind the last shard
    and the next one asks no network; a branch stays the commit that it was. Null: nothing is kept."""
    shard_mb: int = field(default=64, metadata={"decides": "never"})
    """Size of a kept shard before packing, in megabytes."""

    def __post_init__(self) -> None:
        SourceConfig.__post_init__(self)
        if self.max_documents is not None and self.max_documents < 1:
            raise ConfigError(f"max_documents={self.max_documents} leaves no text; choose 1 or more, or null for all.")
        if self.max_document_bytes < 16:
            raise ConfigError(f"max_document_bytes={self.max_document_bytes}: at least 16 bytes.")
        if self.shards_dir is not None and not self.shards_dir.strip():
            raise ConfigError("shards_dir= is empty; give a folder, or leave it out.")
        if not 1 <= self.shard_mb <= 4096:
            raise ConfigError(f"shard_mb={self.shard_mb} is impossible; choose 1 to 4096 megabytes.")

    def build(self) -> "HubSource":
        """Return the source; raises `ConfigError` without a data set's name or without the package `datasets`."""
        if not self.dataset:
            raise ConfigError("data=hub needs a data set: give data.dataset=<owner/name>.")
        if importlib.util.find_spec("datasets") is None:
            raise ConfigError('data=hub needs the package "datasets": pip install "prospero[hub]".')
        return HubSource(self, self.dataset)


class HubSource:
    """The rows of one split, in the order of the data set; row n is document `split#n`."""

    def __init__(self, config: HubConfig, dataset: str, instead: str = WITHOUT_NETWORK) -> None:
        self.config = config
        self.dataset = dataset
        self.instead = instead
        self.notes: Counter[str] = Counter()

    def documents(self) -> Iterator[Document]:
        """Stream the rows; raises `DataError` in one line for whatever the hub or the network answers."""
        self.notes.clear()
        config = self.config
        reading = Reading(max_document_bytes=config.max_document_bytes, notes=self.notes)
        any_text = False
        values = (self._value(row) for row in self.rows([config.text_field]))
        if (kept := self._kept()) is not None:
            revision = kept.about(self._commit)["commit"] or config.revision
            values = kept.values(lambda position: self._values_from(position, revision))
        for number, value in enumerate(values, 1):
            for document in reading.row(value, f"{config.split}#{number}"):
                any_text = True
                document.source = self.dataset
                yield document
        if not any_text:
            raise DataError(f"{self._name()}, split {config.split}: no text in field '{config.text_field}'.")

    def _value(self, row: Mapping[str, Any]) -> Any:
        field = self.config.text_field
        if field not in row:
            raise missing_field(f"{self._name()}, split {self.config.split}", field, row)
        return row[field]

    def rows(self, fields: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Give the rows of the data set, of their columns those in `fields` (all of them where one is missing).

        Raises `DataError` for errors of `datasets`.
        """
        with self._one_line():
            for stream in self._streams(fields, self.config.revision):
                yield from stream

    def _values_from(
        self, position: dict[str, Any] | None, revision: str | None
    ) -> Iterator[tuple[Any, Callable[[], dict[str, Any]]]]:
        """Give the texts behind a position, which is the number of a subset and the state of its stream."""
        begun = 0 if position is None else position["subset"]
        with self._one_line():
            for subset, stream in enumerate(self._streams([self.config.text_field], revision)):
                if subset < begun:
                    continue
                if position is not None and subset == begun:
                    stream.load_state_dict(position["stream"])
                for row in stream:
                    yield self._value(row), lambda at=subset, it=stream: {"subset": at, "stream": it.state_dict()}

    def _kept(self) -> KeptRows | None:
        """Return where the rows are kept, by what decides them."""
        config = self.config
        if config.shards_dir is None:
            return None
        decides = {name: value for name, value in self._settings().items() if name != "max_document_bytes"}
        name = f"{re.sub(r'[^A-Za-z0-9]+', '-', self.dataset).strip('-')[-60:]}-{digest(decides)[:16]}"
        return KeptRows(Path(config.shards_dir).expanduser() / name, config.shard_mb * 1_000_000)

    def _commit(self) -> dict[str, Any]:
        """Return the commit that the revision stands for now; none for a folder of this machine."""
        if os.path.exists(self.dataset):
            return {"dataset": self.dataset, "commit": None}
        self._check_reachable()
        from huggingface_hub import HfApi

        with self._one_line():
            found = HfApi().dataset_info(self.dataset, revision=self.config.revision).sha
        return {"dataset": self.dataset, "commit": found}

    def _check_reachable(self) -> None:
        if not os.path.exists(self.dataset) and (reason := why_unreachable(self._name())):
            raise DataError(f"{self._name()}: {_UNREACHABLE}{self.instead} ({reason}).")

    def _streams(self, fields: Sequence[str], revision: str | None) -> Iterator[Any]:
        """Give a stream of `datasets` for each subset."""
        import datasets

        config = self.config
        datasets.disable_progress_bars()
        limits: Any = importlib.import_module("datasets.config")
        limits.STREAMING_READ_MAX_RETRIES = min(STREAMING_RETRIES, limits.STREAMING_READ_MAX_RETRIES)
        self._check_reachable()
        for subset in self._subsets(datasets, revision):
            stream = datasets.load_dataset(
                self.dataset, name=subset, split=config.split, revision=revision, streaming=True
            )
            columns = stream.column_names
            if fields and columns is not None and set(fields) <= set(columns):
                stream = stream.select_columns(list(fields))
            yield stream if config.max_documents is None else stream.take(config.max_documents)

    @contextmanager
    def _one_line(self) -> Iterator[None]:
        try:
            yield
        except DataError:
            raise
        except Exception as error:  # the hub, the network, the formats: each has errors of its own
            raise DataError(self._explain(error)) from error

    def _subsets(self, datasets: Any, revision: str | None) -> list[str | None]:
        """Return the subsets to read; `DataError` where there is no such subset or split."""
        config = self.config
        subsets = datasets.get_dataset_config_names(self.dataset, revision=revision)
        if config.subset == ALL_SUBSETS:
            return list(subsets)
        if (config.subset is None and len(subsets) > 1 and "default" not in subsets) or (
            config.subset is not None and config.subset not in subsets
        ):
            asked = f"has no subset '{config.subset}'" if config.subset else "has several subsets; choose one"
            raise DataError(
                f"{self.dataset} {asked}: data.subset={', '.join(subsets)}.{suggest(config.subset or '', subsets)}"
            )
        splits = datasets.get_dataset_split_names(self.dataset, config_name=config.subset, revision=revision)
        wanted = config.split.split("[")[0]
        if wanted not in splits and "+" not in wanted:
            near = suggest(wanted, splits)
            raise DataError(f"{self._name()} has no split '{wanted}': data.split={', '.join(splits)}.{near}")
        return [config.subset]

    def _explain(self, error: Exception) -> str:
        kinds = {kind.__name__ for kind in _causes(error)}
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        if kinds & _NO_NETWORK:
            what = _UNREACHABLE + self.instead
        elif kinds & {"GatedRepoError"}:
            what = "access to this data set must be asked for on its page; then give HF_TOKEN in the environment"
        elif kinds & {"DatasetNotFoundError", "RepositoryNotFoundError", "RevisionNotFoundError", "FileNotFoundError"}:
            what = "not found on the hub nor as a folder; write owner/name, and HF_TOKEN if it is private"
        elif "Dataset scripts are no longer supported" in str(error) or "trust_remote_code" in str(error):
            what = "needs code of its own, which is refused; try data.revision=refs/convert/parquet"
        else:
            what = "cannot be read"
        return f"{self._name()}: {what} ({type(error).__name__}: {reason})."

    def _name(self) -> str:
        parts = [self.dataset, self.config.subset, self.config.revision and f"at {self.config.revision}"]
        return " ".join(part for part in parts if part)

    def identity(self) -> dict[str, Any]:
        """Return the settings; of a local folder a hash over its files too.

        Without `shards_dir` it asks nothing of the network, and what the hub holds under a branch may change without
        the identity changing: pin `revision` to a commit. Kept rows have the commit that they began with.
        """
        kept = self._kept()
        commit = None if kept is None else kept.about(self._commit)["commit"]
        return self._settings() | ({} if commit is None else {"commit": commit})

    def _settings(self) -> dict[str, Any]:
        config = self.config
        values: dict[str, Any] = {
            "source": "hub",
            "dataset": self.dataset,
            "subset": config.subset,
            "revision": config.revision,
            "split": config.split,
            "text_field": config.text_field,
            "max_documents": config.max_documents,
            "max_document_bytes": config.max_document_bytes,
        }
        if os.path.exists(self.dataset):
            values |= listing_hash(find_files(self.dataset, Counter()))
        return values

    def describe(self) -> str:
        """Return the data set, its subset, revision and split."""
        return f"Hugging Face data set {self._name()}, split {self.config.split}"

    def size_bytes(self) -> int | None:
        """Return None: a stream does not tell its size."""
        return None


def _causes(error: BaseException | None) -> Iterator[type[BaseException]]:
    while error is not None:
        yield from type(error).__mro__
        error = error.__cause__ or error.__context__
