"""Text: how likely the model finds given text; the validation text of its own run, or any files.

The text is one row of tokens cut into sequences, as in a validation; each sequence is an item, and its statistics are
the running sums of the metrics of tokens. So `text/loss` over the sequences of a validation is that validation's
`val/loss` (with cross-entropy as the only loss, and in its precision).

Shapes: B sequences at a time, T tokens of a sequence.
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prospero.batch import Batch
from prospero.data.document import Document
from prospero.data.encoding import SplitEncoder
from prospero.data.packing.evaluation import evaluation_packing
from prospero.data.prepare import open_prepared
from prospero.data.shards import TokenShards
from prospero.data.sources.files import FilesConfig
from prospero.data.sources.source import Source
from prospero.data.split import Piece
from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.data.unknown import bytes_per_unknown
from prospero.errors import ConfigError, DataError, suggest
from prospero.evaluation.bounds import ALL, AUTO, bounded
from prospero.evaluation.measurement import Measurement, Outcome, Quantity, Subject
from prospero.evaluation.metrics.base import MetricFacts
from prospero.evaluation.metrics.collection import EARLIER, TokenMetrics
from prospero.evaluation.metrics.per_item import PerItem, one_row
from prospero.evaluation.tasks.base import TaskFacts
from prospero.model.base import ModelOutput
from prospero.objective.losses.cross_entropy import CrossEntropyConfig
from prospero.objective.terms import MeasuredTokens, measured_tokens

MOST_SEQ_LEN = 4096
"""Tokens of a sequence at most where nobody says how many: imported models may read a hundred thousand."""
LOGITS_AT_ONCE = 2**25
"""Logits held at a time: 128 MB of float32."""
ENCODING_BYTES = 2**26
"""Memory in which files are encoded."""
HARDEST = 5
"""Tokens named for each sequence: those the model found least likely."""


@dataclass(kw_only=True, slots=True)
class TextConfig:
    """Loss, perplexity, bits per byte and accuracy of given text."""

    path: str | None = None
    """Files to read instead of the run's own text: a file, a folder or a glob; txt, md, code, jsonl, csv, parquet."""
    text_field: str = "text"
    """With path: the field or column that holds the text (json, jsonl, csv, tsv, parquet)."""
    split: str = "val"
    """Without path: which split of the prepared data, val, test or train."""
    seq_len: int | None = None
    """Tokens of a sequence; null: as in the model's training."""
    limit: int | str = "auto"
    """Sequences, evenly spread over the text: a number, all, or auto: the evaluation's own limit, else 1 M tokens."""

    def __post_init__(self) -> None:
        if not (isinstance(self.limit, int) and self.limit >= 1) and self.limit not in (ALL, AUTO):
            near = suggest(self.limit, (ALL, AUTO)) if isinstance(self.limit, str) else ""
            raise ConfigError(f"limit={self.limit} must be a number of 1 or more, all, or auto.{near}")
        if self.seq_len is not None and self.seq_len < 1:
            raise ConfigError(f"seq_len={self.seq_len} must be at least 1")
        if self.path is not None and not self.path.strip():
            raise ConfigError("path= is empty; give a file, a folder or a glob, or leave it out")
        if self.split not in ("train", "val", "test"):
            raise ConfigError(f"split={self.split} is none.{suggest(self.split, ('train', 'val', 'test'))}")

    def build(self, name: str, facts: TaskFacts) -> "Text":
        """Return the task, its tokens found or encoded; DataError where there are none."""
        text = own_text(self, name, facts) if self.path is None else text_of_files(self, self.path, name, facts)
        seq_len = self.seq_len or min(facts.seq_len or MOST_SEQ_LEN, MOST_SEQ_LEN)
        return Text(name, text, seq_len, self._sequences(text, seq_len, facts), facts)

    def _sequences(self, text: "EncodedText", seq_len: int, facts: TaskFacts) -> np.ndarray:
        """Return the numbers of the sequences that are read, spread as those of a validation."""
        n = len(evaluation_packing(text.shards, seq_len, document_ids=facts.document_ids))
        asked = facts.limit if self.limit == AUTO and facts.limit is not None else self.limit
        limit = bounded(asked, of_sequences=n, seq_len=seq_len, trained_tokens=None)
        return np.linspace(0, n - 1, limit).round().astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedText:
    """Tokens and what is known of them."""

    shards: TokenShards
    tokenizer: Tokenizer
    source_names: list[str]
    unknown_bytes: float
    """UTF-8 bytes that an unknown token stands for, in the mean."""
    facts: dict[str, Any]
    """What it is, as plain values."""


def own_text(config: TextConfig, name: str, facts: TaskFacts) -> EncodedText:
    """Return a split of the prepared data that the model was trained on; DataError where they are not here."""
    instead = f"or give another text with tasks.{name}.path=FILE"
    if facts.validation is None:
        raise DataError(
            f"tasks.{name}: the prepared data that the model was trained on are not here; prepare them again with the "
            f"run's settings and outputs_dir (python prepare.py ...), {instead}"
        )
    prepared = open_prepared(facts.validation)
    if config.split not in prepared.splits:
        raise DataError(f"tasks.{name}: {facts.validation} has no split '{config.split}'; choose another, {instead}")
    row = prepared.receipt["splits"][config.split]
    prepared.splits[config.split].verify(row["digest"])
    return EncodedText(
        shards=prepared.splits[config.split],
        tokenizer=prepared.tokenizer,
        source_names=prepared.receipt["sources"],
        unknown_bytes=bytes_per_unknown(row),
        facts={"data": prepared.fingerprint, "split": config.split, "digest": row["digest"]},
    )


def text_of_files(config: TextConfig, path: str, name: str, facts: TaskFacts) -> EncodedText:
    """Return the text of files, encoded by the model's tokenizer; DataError where they hold none."""
    if facts.tokenizer is None:
        raise ConfigError(f"tasks.{name}.path={path} is encoded by the model's tokenizer, and this model has none")
    source = _files(config, path, name)
    text = encoded_text(source.documents(), facts.tokenizer, {"path": path})
    if text is None:
        raise DataError(f"tasks.{name}.path={path} holds no text")
    return text


def encoded_text(documents: Iterable[Document], tokenizer: Tokenizer, facts: Mapping[str, Any]) -> EncodedText | None:
    """Return documents as one row of tokens, None where they hold no text; `facts` say what they are."""
    with tempfile.TemporaryDirectory(prefix="prospero-") as folder:
        encoder = SplitEncoder(Path(folder), tokenizer, ENCODING_BYTES)
        try:
            for document in documents:
                encoder.add(Piece("val", document.text), document.source)
            encoder.close()
        finally:
            encoder.abandon()
        if "val" not in encoder.splits:
            return None
        row = encoder.splits["val"]
        shards = TokenShards(Path(folder, row["file"]))  # stays mapped when the file is gone
    return EncodedText(
        shards=shards,
        tokenizer=tokenizer,
        source_names=encoder.sources,
        unknown_bytes=bytes_per_unknown(row),
        facts={**facts, "text": encoder.text_digest, "digest": row["digest"]},
    )


def _files(config: TextConfig, path: str, name: str) -> Source:
    try:
        return FilesConfig(path=path, text_field=config.text_field).build()
    except (ConfigError, DataError) as error:
        raise DataError(str(error).replace("data.path=", f"tasks.{name}.path=")) from error


def quantities_of(token_metrics: Mapping[str, Any], seq_len: int) -> list[Quantity]:
    """Return what the task measures of any text in one source, by the settings of its metrics."""
    facts = MetricFacts(token_bytes=np.ones(256, np.int32), seq_len=seq_len, source_names=["text"])
    return _loss_first(_metrics(token_metrics, facts))


def _metrics(token_metrics: Mapping[str, Any], facts: MetricFacts) -> list[PerItem]:
    members = TokenMetrics.build(token_metrics or EARLIER, facts).members
    return [PerItem(key, metric) for key, metric in members.items()]


def _loss_first(metrics: Sequence[PerItem]) -> list[Quantity]:
    found = [quantity for metric in metrics for quantity in metric.quantities]
    return sorted(found, key=lambda quantity: quantity.name != "loss")


class Text(Measurement):
    """Sequences of given text; see the head of this file."""

    def __init__(self, name: str, text: EncodedText, seq_len: int, sequences: np.ndarray, facts: TaskFacts) -> None:
        if text.shards.n_tokens < 2:
            raise DataError(f"tasks.{name}: the text has no token after its first, so there is nothing to predict")
        self.name, self.text, self.sequences = name, text, sequences
        self.packing = evaluation_packing(text.shards, seq_len, document_ids=facts.document_ids)
        built = MetricFacts(
            token_bytes=text.tokenizer.token_bytes(), seq_len=seq_len, source_names=text.source_names or ["all"]
        )
        self.metrics = _metrics(facts.token_metrics, built)
        self.losses = [CrossEntropyConfig().build()]
        self._checked: Subject | None = None

    @property
    def quantities(self) -> list[Quantity]:
        """The numbers of all metrics, the loss first."""
        return _loss_first(self.metrics)

    @property
    def size(self) -> int:
        """How many sequences are read."""
        return len(self.sequences)

    @property
    def facts(self) -> dict[str, Any]:
        """Which text, cut how."""
        of = len(self.packing)
        return {**self.text.facts, "seq_len": self.packing.seq_len, "sequences": self.size, "of_sequences": of}

    def outcomes(self, subject: Subject, items: Sequence[int]) -> Iterator[Outcome]:
        """Read the sequences `subject.rows` at a time."""
        self._check(subject)
        for start in range(0, len(items), subject.rows):
            some = list(items[start : start + subject.rows])
            with subject.decoder.session(), torch.inference_mode():
                yield from self._outcomes(subject, some)

    def _check(self, subject: Subject) -> None:
        """Raise DataError when the text was encoded by another tokenizer, ConfigError when a sequence is too long."""
        if subject is self._checked:
            return
        if subject.tokenizer.fingerprint() != self.text.tokenizer.fingerprint():
            raise DataError(f"tasks.{self.name}: {subject.name} has another tokenizer than the text was encoded with")
        window = subject.decoder.window
        if window is not None and self.packing.seq_len > window:
            raise ConfigError(
                f"tasks.{self.name}.seq_len={self.packing.seq_len}: the model reads {window:,} tokens at once"
            )
        self._checked = subject

    def _outcomes(self, subject: Subject, items: list[int]) -> Iterator[Outcome]:
        sequences = self.sequences[items]
        arrays = self.packing.read(sequences)
        labels, document_ids = torch.from_numpy(arrays["labels"]), torch.from_numpy(arrays["document_ids"])
        scores = self._scores(subject, torch.from_numpy(arrays["input_ids"]), document_ids, labels)
        sources = torch.from_numpy(self.packing.source_ids(sequences))
        for row, item in enumerate(items):
            scored, batch = one_row(scores, row), self._batch(arrays, labels, sources, row)
            found = [pair for metric in self.metrics for pair in metric.statistics(scored, batch)]
            yield Outcome(item, dict(found), self._record(int(sequences[row]), batch, scored))

    def _scores(self, subject: Subject, input_ids: Tensor, document_ids: Tensor, labels: Tensor) -> MeasuredTokens:
        decoder = subject.decoder
        hidden = decoder.hidden(input_ids, document_ids)
        reads = frozenset[str]().union(*(metric.metric.reads for metric in self.metrics))
        chunk = max(1, LOGITS_AT_ONCE // decoder.project(hidden[0, :1]).shape[-1])
        found = measured_tokens(
            self.losses, decoder.project, ModelOutput(hidden), labels.to(hidden.device), reads, chunk_tokens=chunk
        )
        some = (found.predicted, found.entropy, found.logits)
        predicted, entropy, logits = (None if value is None else value.cpu() for value in some)
        return MeasuredTokens(found.mask.cpu(), found.nats.cpu(), found.loss.cpu(), predicted, entropy, logits)

    def _batch(self, arrays: dict[str, np.ndarray], labels: Tensor, sources: Tensor, row: int) -> Batch:
        facts, mine = {"source_ids": sources[row : row + 1]}, labels[row : row + 1]
        if self.text.unknown_bytes:
            unknown = int((mine == self.text.tokenizer.unknown_id).sum())
            facts["unknown_bytes"] = torch.tensor(self.text.unknown_bytes * unknown, dtype=torch.float32)
        return Batch(
            inputs={"input_ids": torch.from_numpy(arrays["input_ids"][row : row + 1])},
            labels=mine,
            facts=facts,
            sequences=1,
            tokens=mine.shape[1],
            target_tokens=int((mine >= 0).sum()),
        )

    def _record(self, sequence: int, batch: Batch, scores: MeasuredTokens) -> dict[str, Any]:
        """Return the text of a sequence and the tokens of it that the model found least likely, with their nats."""
        tokenizer, labels = self.text.tokenizer, batch.labels[0][scores.mask[0]]
        nats, places = scores.nats[0][scores.mask[0]].topk(min(HARDEST, len(labels)))
        hardest = [f"{tokenizer.decode([int(labels[p])])!r} {float(n):.2f}" for n, p in zip(nats, places)]
        return {"sequence": sequence, "text": tokenizer.decode(labels.tolist()), "hardest tokens": hardest}
