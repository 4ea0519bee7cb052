"""From a source of text to token files: read, clean, de-duplicate, split, train the tokenizer, encode, describe.

The result is a folder that is found again by its name, which holds a hash of the text's identity and of all settings.
It appears whole or not at all. Memory does not grow with the corpus: cleaned text that must be read twice lies on disk.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from prospero.data.bigram import bigram_bits_per_byte
from prospero.data.cache import locked, publish, readable_errors
from prospero.data.canaries import FILE as CANARIES
from prospero.data.canaries import Planting
from prospero.data.cleaning.pipeline import CleaningPipeline
from prospero.data.cleaning.step import Drop
from prospero.data.dedup.dedup import Dedup
from prospero.data.encoding import SplitEncoder
from prospero.data.material import Examples, Material, PicturedExamples, Texts
from prospero.data.mixture.mixing import Mixing
from prospero.data.parts import CleaningSettings, IdentifiedSettings, SourceSettings
from prospero.data.progress import StageClock
from prospero.data.receipt import FILE as RECEIPT
from prospero.data.receipt import (
    FINGERPRINT_FORMAT,
    FORMAT,
    DocumentCounts,
    digest,
    file_hash,
    origin,
    plain,
    read_receipt,
    write_receipt,
)
from prospero.data.rendering.rendering import Rendering
from prospero.data.rendering.text import TextRenderingConfig
from prospero.data.settings import PrepareConfig
from prospero.data.shards import TokenShards
from prospero.data.side_file import SideFile
from prospero.data.sources.source import Source, SourceConfig, not_deciding
from prospero.data.split import CorpusSize, Piece, Split
from prospero.data.spool import Spool
from prospero.data.targets import verify_file
from prospero.data.tokenizer.tokenizer import Tokenizer, load_tokenizer
from prospero.data.unknown import bytes_per_unknown, say_unknown
from prospero.errors import ConfigError, DataError
from prospero.log import log
from prospero.processes import ranks

READ_LATER = frozenset(item.name for item in fields(SourceConfig))
"""Settings of a source that are none of its text's: how batches are read, which the same data serve, and canaries."""


@dataclass(slots=True)
class PreparedData:
    """A prepared corpus: the splits that have text, the tokenizer, and the receipt that describes them."""

    directory: Path
    receipt: dict[str, Any]
    tokenizer: Tokenizer
    splits: dict[str, TokenShards]
    side: dict[str, dict[str, SideFile]] = field(default_factory=dict)
    """Split -> name -> what stands beside its tokens, an array for each document: pictures."""
    mixture: Mixing | None = None
    """In which shares training reads the parts of a joined corpus; None for one corpus, or where nobody trains."""

    @property
    def fingerprint(self) -> str:
        """Hash of the text and of what was done to it; equal on any machine that prepared the same text alike."""
        return self.receipt["fingerprint"]

    def verify(self) -> None:
        """Read every token file and compare it with the receipt; raises `DataError` at any difference."""
        for split, shards in self.splits.items():
            row = self.receipt["splits"][split]
            shards.verify(row["digest"])
            if shards.targets_path is not None:
                verify_file(shards.targets_path, row["targets_digest"])
            for beside in self.side.get(split, {}).values():
                beside.verify()


def prepare(config: PrepareConfig, progress: bool | None = None) -> PreparedData:
    """Return the prepared corpus, made now unless it lies ready in the cache, and say what its tokenizer cannot write.

    It is of one source; `data.mixture.preparation.prepare` is that of one or several. `progress` shows bars (None: when
    standard error is a terminal). Raises `DataError` for text, files and disks that cannot be used.
    """
    prepared = _found_or_made(config, progress)
    say_unknown(prepared.receipt["splits"])
    return prepared


def _found_or_made(config: PrepareConfig, progress: bool | None) -> PreparedData:
    source = config.data.build()
    tokenizer = None if config.tokenizer.needs_texts() else config.tokenizer.build(lambda: iter(()))
    key = [FORMAT, source.identity(), what_decides(config), tokenizer.fingerprint() if tokenizer else None]
    rendering = None if config.rendering is None else config.rendering.build()
    if config.data.canaries.count and rendering is not None:
        raise ConfigError(
            f"data.canaries.count={config.data.canaries.count}: canaries are lines of text, and this rendering= makes "
            "examples of records; train on texts (rendering=text), or leave the canaries out"
        )
    if config.dedup.changes_text and rendering is not None:
        raise ConfigError(
            "this dedup= takes lines or paragraphs out of texts, and this rendering= makes examples of records, which "
            "stay whole; choose dedup=exact or dedup=minhash"
        )
    key += [found] if rendering is not None and (found := rendering.identity()) else []
    name = f"{source_name(config.data)}-{digest(plain(key))[:16]}"
    found = found_prepared(config.data_dir / name)
    if found is not None:
        return found
    with readable_errors(config.data_dir), locked(config.data_dir, name):
        found = found_prepared(config.data_dir / name)  # made by the process that held the lock
        if found is not None:
            return found
        log.info("Preparing %s.", source.describe())
        preparation = _Preparation(config, source, tokenizer, rendering, StageClock(progress))
        directory = publish(config.data_dir, name, preparation.run)
    return open_prepared(directory)


def find_prepared(data_dir: Path, fingerprint: str | None) -> Path | None:
    """Return the folder of prepared data with this `fingerprint` under `data_dir`; None when there is none."""
    for file in sorted(data_dir.glob(f"*/{RECEIPT}")) if fingerprint else []:
        try:
            receipt = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # of another corpus, for all that can be known; preparing it would say so
        if isinstance(receipt, dict) and receipt.get("fingerprint") == fingerprint:
            return file.parent
    return None


def open_prepared(directory: Path) -> PreparedData:
    """Open a folder made by `prepare`; raises `DataError` when anything in it is missing, cut off or does not fit."""
    receipt = read_receipt(directory)
    for name, stated in receipt["files"].items():
        path = directory / name
        if not path.is_file():
            raise DataError(f"{path} is missing; prepare the data again")
        if file_hash(path) != stated:
            raise DataError(f"{path} differs from what was written (a damaged disk?); prepare the data again")
    tokenizer = load_tokenizer(directory / "tokenizer.json")
    if tokenizer.fingerprint() != receipt["tokenizer"]["fingerprint"]:
        raise DataError(f"{directory / 'tokenizer.json'} is not the tokenizer that made the tokens; prepare again")
    grouped = receipt.get("documents_per_example", 1)
    splits = {name: open_split(directory, row, grouped) for name, row in receipt["splits"].items()}
    for name, shards in splits.items():
        if shards.n_tokens != receipt["splits"][name]["tokens"]:
            raise DataError(f"{shards.path} does not belong to the receipt beside it; prepare the data again")
    side = {split: open_side(directory, row) for split, row in receipt["splits"].items()}
    for split, files in side.items():
        for beside in files.values():
            if beside.n_rows != splits[split].n_documents:
                raise DataError(f"{beside.path} has another number of rows than {split} has documents; prepare again")
    return PreparedData(directory, receipt, tokenizer, splits, side)


def open_side(directory: Path, row: Mapping[str, Any]) -> dict[str, SideFile]:
    """Return what stands beside the tokens of the split that a receipt's `row` describes."""
    return {name: SideFile(directory / stated["file"], stated) for name, stated in row.get("side", {}).items()}


def open_split(directory: Path, row: Mapping[str, Any], documents_per_example: int) -> TokenShards:
    """Return the shards that a receipt's `row` describes."""
    targets = directory / row["targets"] if "targets" in row else None
    return TokenShards(directory / row["file"], targets=targets, documents_per_example=documents_per_example)


def what_decides(config: PrepareConfig) -> dict[str, Any]:
    """Return the settings that decide the prepared data, as plain values; part of their folder's name."""
    left_out = READ_LATER | not_deciding(config.data)
    source = {name: value for name, value in plain(config.data).items() if name not in left_out}
    parts = {"dedup": config.dedup, "split": config.split, "tokenizer": config.tokenizer}
    steps = [[name, _decides(step)] for name, step in config.cleaning.items()]  # a list, for the order counts
    decides = {"source": source} | {name: plain(part) for name, part in parts.items()} | {"cleaning": steps}
    decides |= {"canaries": plain(config.data.canaries)} if config.data.canaries.count else {}
    is_text = config.rendering is None or isinstance(config.rendering, TextRenderingConfig)
    return decides if is_text else decides | {"rendering": plain(config.rendering)}


def _decides(step: CleaningSettings) -> Any:
    """Return what a cleaning step does as plain values: its settings, or what it says itself."""
    return step.identity() if isinstance(step, IdentifiedSettings) else plain(step)


def source_name(config: SourceSettings) -> str:
    """Return `site_packages` for a `SitePackagesConfig`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(config).__name__.removesuffix("Config"))
    return words.lower()


def found_prepared(directory: Path) -> PreparedData | None:
    """Open prepared data; None when there are none, or when they are damaged (which is said)."""
    if not directory.is_dir():
        return None
    try:
        prepared = open_prepared(directory)
        if ranks.local_rank() == 0:  # once on each machine
            prepared.verify()
    except DataError as error:
        log.warning("%s -- making it anew; what is there now is kept beside it.", error)
        return None
    log.info("Data: found prepared in %s.", directory)
    return prepared


class _Preparation:
    """One preparation, from the source to a filled folder."""

    def __init__(
        self,
        config: PrepareConfig,
        source: Source,
        tokenizer: Tokenizer | None,
        rendering: Rendering | None,
        clock: StageClock,
    ) -> None:
        self.config, self.source, self.rendering, self.clock = config, source, rendering, clock
        self.tokenizer = tokenizer
        self.pipeline = CleaningPipeline({name: step.build() for name, step in config.cleaning.items()})
        if rendering is not None:
            rendering.begin(tokenizer)
        self.dedup: Dedup | None = None
        self.split: Split = config.split.build()
        self.counts = DocumentCounts()
        self.material: Material = Texts(self.pipeline)
        self.canaries: dict[str, Any] | None = None

    def run(self, folder: Path) -> None:
        """Fill `folder` with token files, tokenizer and receipt."""
        spool = Spool(folder / "cleaned.spool")
        self.dedup = self.config.dedup.build(folder)
        if self.rendering is not None and self.rendering.reads_picture:
            self.material = PicturedExamples(self.pipeline, self.rendering, folder)
        elif self.rendering is not None:
            self.material = Examples(self.pipeline, self.rendering)
        passes_twice = self.tokenizer is None or self.split.needs_size or self.config.data.canaries.count > 0
        if passes_twice:
            with self.clock.stage("clean", self.source.size_bytes()) as advance:
                spool.write(self._cleaned(advance))
            self._check_not_empty()
        tokenizer = self.tokenizer or self._train_tokenizer(spool)
        self.tokenizer = tokenizer if self.rendering is None else self.rendering.equipped(tokenizer)
        buffer_bytes, targets = self.config.buffer_mb * 1_000_000, self.rendering is not None
        encoder = SplitEncoder(folder, self.tokenizer, buffer_bytes, targets=targets)
        contents = spool.texts() if passes_twice else self._cleaned()
        planting = self._planting(spool)
        try:
            total = self.counts.bytes["kept"] if passes_twice else self.source.size_bytes()
            with self.clock.stage("encode" if passes_twice else "clean and encode", total) as advance:
                pieces = self._pieces(contents, spool.size)
                for piece, source in pieces if planting is None else planting.into(pieces):
                    advance(self.material.encode(encoder, piece, source))
                encoder.close()
        finally:
            encoder.abandon()
        self._check_not_empty()
        self._check_splits(encoder.splits)
        self.canaries = None if planting is None else planting.write(folder)
        spool.remove()
        self.material.close()
        self.tokenizer.save(folder / "tokenizer.json")
        write_receipt(folder, self._receipt(folder, encoder, self.dedup.report()))
        self.dedup.close()

    def _cleaned(self, advance: Callable[[int], None] = lambda n_bytes: None) -> Iterator[tuple[str, str]]:
        """Yield the content and the source of each document that is kept."""
        dedup = self.dedup
        assert dedup is not None, "run() builds it"
        for document in self.source.documents():
            size = self.material.size(document)
            advance(size)
            self.counts.add("read", size)
            entry = self.material.read(document)
            if isinstance(entry, Drop):
                self.counts.add("dropped", size)
                continue
            kept = dedup.keep(entry.compared, dedup.sketch(entry.compared), document.id)
            if kept is None:
                self.counts.add("duplicate", entry.n_bytes)
                if len(self.counts.duplicate_examples) < self.pipeline.examples_per_reason:
                    self.counts.duplicate_examples.append(document.id)
                continue
            if kept is not entry.compared:
                entry = self.material.shortened(entry, kept)
            self.counts.add("kept", entry.n_bytes)
            self.counts.characters += entry.n_characters
            yield entry.content, document.source

    def _pieces(self, contents: Iterator[tuple[str, str]], size: CorpusSize) -> Iterator[tuple[Piece, str]]:
        """Yield the pieces of all documents, each with its source."""
        start = 0
        for content, source in contents:
            for piece in self.material.pieces(self.split, content, start, size):
                yield piece, source
            start += len(content)

    def _planting(self, spool: Spool) -> Planting | None:
        config = self.config.data.canaries
        if not config.count:
            return None
        assert self.tokenizer is not None, "canaries are planted when the tokenizer is there"
        pieces = self._pieces(spool.texts(), spool.size)
        characters = sum(len(piece.text) for piece, _ in pieces if piece.split == "train")
        return Planting(config, self.tokenizer, characters)

    def _train_tokenizer(self, spool: Spool) -> Tokenizer:
        def training_texts() -> Iterator[str]:
            for piece, _ in self._pieces(spool.texts(), spool.size):
                if piece.split == "train":
                    yield from self.material.texts(piece)

        found = {piece.split: {} for piece, _ in self._pieces(spool.texts(), spool.size)}
        self._check_splits(found)
        with self.clock.stage("train tokenizer"):
            return self.config.tokenizer.build(training_texts)

    def _check_not_empty(self) -> None:
        if self.counts.documents["kept"]:
            return
        n_read = self.counts.documents["read"]
        if not n_read:
            raise DataError(f"there is no text in {self.source.describe()}")
        reasons = [
            f"{row['documents']} by {row['step']} ({row['reason']})" for row in self.pipeline.report()["dropped"]
        ]
        raise DataError(
            f"cleaning left nothing of the {n_read} documents: {', '.join(reasons)}; change the cleaning= settings"
        )

    def _check_splits(self, found: Mapping[str, Any]) -> None:
        """Raise `DataError` when nothing is left to train on or to validate on; say it when the test is empty."""
        advice = "choose split=tail, which cuts by position, raise split.val_fraction, or give more text"
        for split in ("train", "val"):
            if split not in found:
                n_documents = self.counts.documents["kept"]
                raise DataError(f"the split left nothing for {split!r} ({n_documents} documents in all); {advice}")
        if "test" not in found and self.split.makes_test:
            log.warning("The split left nothing for the final test (%d documents).", self.counts.documents["kept"])

    def _receipt(self, folder: Path, encoder: SplitEncoder, of_dedup: dict[str, Any]) -> dict[str, Any]:
        tokenizer = self.tokenizer
        assert tokenizer is not None, "a receipt is written after the tokens"
        with self.clock.stage("bigram baseline"):
            train, val = (open_split(folder, encoder.splits[split], 1) for split in ("train", "val"))
            token_bytes = tokenizer.token_bytes().astype(np.float64)
            if tokenizer.unknown_id is not None:  # all of the text counts, as in a run's bits per byte
                token_bytes[tokenizer.unknown_id] = bytes_per_unknown(encoder.splits["val"])
            baseline = bigram_bits_per_byte(train, val, token_bytes)
        cleaning, planted = self.pipeline.report(), [] if self.canaries is None else [CANARIES]
        settings = what_decides(self.config)
        what_was_done = {name: part for name, part in settings.items() if name != "source"}
        return origin() | {
            "fingerprint": digest([FINGERPRINT_FORMAT, encoder.text_digest, tokenizer.fingerprint(), what_was_done]),
            "source": {"name": source_name(self.config.data), "description": self.source.describe()},
            "settings": settings,
            **self.counts.plain(),
            "dropped": cleaning["dropped"],
            "changed": cleaning["changed"],
            "repairs": {what: count for what, count in self.source.notes.items() if count},
            "tokenizer": {
                "vocab_size": tokenizer.vocab_size,
                "eot_id": tokenizer.eot_id,
                "eot_token": tokenizer.eot_token,
                "fingerprint": tokenizer.fingerprint(),
            },
            "files": {
                name: file_hash(folder / name)
                for name in ("tokenizer.json", "tokenizer_config.json", *encoder.kept_files, *planted)
            },
            **({} if self.canaries is None else {"canaries": self.canaries}),
            **self._of_examples(),
            "splits": encoder.splits,
            "sources": encoder.sources,
            "bigram_bits_per_byte": round(baseline, 4),
            "seconds": self.clock.seconds,
            **({"dedup": of_dedup} if of_dedup else {}),
        }

    def _of_examples(self) -> dict[str, Any]:
        """Return what the receipt says of examples alone."""
        if self.rendering is None:
            return {}
        found = self.rendering.facts()
        return {"documents_per_example": self.rendering.documents_per_example} | ({"examples": found} if found else {})
