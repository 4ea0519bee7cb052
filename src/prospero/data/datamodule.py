"""Batches for Lightning: whole micro-batches in an order that no machine can change.

Position p of the training order belongs to the global batch p // global_batch_size; ranks and micro-steps share out
the sequences of a global batch, so their union is the same on any number of devices. The whole state is
`consumed_sequences`, and `skipped`: ranges of positions that a run went back over and does not read again.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import lightning as L
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from prospero.batch import IGNORE_INDEX, Batch
from prospero.data.material import PICTURES
from prospero.data.mixture.training import TrainingOrder, training_order, training_packing
from prospero.data.packing.apart import say_if_examples_mix
from prospero.data.packing.evaluation import evaluation_packing
from prospero.data.packing.packing import Packing
from prospero.data.packing.padded import PaddedPackingConfig
from prospero.data.parts import AugmentationSettings, PackingSettings
from prospero.data.prepare import PreparedData
from prospero.data.sampler import SkippedRanges
from prospero.data.side_file import side_rows
from prospero.data.unknown import bytes_per_unknown
from prospero.data.workers import start_worker
from prospero.errors import ConfigError, DataError

ENDLESS = 10**12
"""Micro-batches that the training loader says it has; the limit of a run is its number of steps."""

TOKENS_SHOWN, CHARACTERS_SHOWN = 24, 40
"""How much of a document's beginning is shown."""

TrainingFacts = Callable[[np.ndarray], dict[str, np.ndarray]]
"""Numbers of training sequences, int64 [B] -> name -> what is known of them, [B, T, ...]; picklable."""


class LanguageDataModule(L.LightningDataModule):
    """Training, validation and test batches of a prepared corpus; `TrainingData` for the run that trains on it.

    The inputs of a batch are input_ids, document_ids when `document_ids` is asked for, and for a model that reads
    pictures of `image_shape` [C, H, W] those of its sequences, `images`. `rank` and `world_size`
    come from the trainer unless given. Validation and test are packed alike whatever the training's packing, so that
    losses can be compared, and cover each target of the split once; `val_sequences` and
    `test_sequences` take that many sequences, evenly spread, instead of all, and `train_sequences` trains on the first
    that many alone. The
    trainer needs `use_distributed_sampler=False`. The batches of training have document_ids with
    `training_document_ids`, too, and the facts that `training_facts` gives for their sequences.
    """

    def __init__(
        self,
        prepared: PreparedData,
        *,
        packing: PackingSettings,
        augmentation: AugmentationSettings,
        seq_len: int,
        global_batch_size: int,
        micro_batch_size: int,
        seed: int,
        num_workers: int = 0,
        train_sequences: int | None = None,
        val_sequences: int | None = None,
        test_sequences: int | None = None,
        document_ids: bool = False,
        training_document_ids: bool = False,
        training_facts: TrainingFacts | None = None,
        image_shape: tuple[int, int, int] | None = None,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        super().__init__()
        self.prepared = prepared
        self.seq_len = seq_len
        self.global_batch_size, self.micro_batch_size = global_batch_size, micro_batch_size
        self.seed, self.num_workers = seed, num_workers
        self.val_sequences, self.test_sequences = val_sequences, test_sequences
        self.document_ids = document_ids
        self.training_document_ids = document_ids or training_document_ids
        self.training_facts = training_facts
        self._rank, self._world_size = rank, world_size
        self._consumed_sequences = 0
        self.skipped = SkippedRanges()
        train = prepared.splits["train"]
        if train.n_tokens < seq_len + 1:
            raise DataError(
                f"the training split has {train.n_tokens} tokens, fewer than one sequence of seq_len={seq_len} needs; "
                f"give more text or set seq_len to {max(1, train.n_tokens - 1)} or less"
            )
        say_if_examples_mix(train, packing, document_ids=document_ids)
        check_pictures(prepared, image_shape, packing)
        self.train_packing = training_packing(prepared, packing, seq_len)
        self.train_sequences = train_sequences
        self.training_order()  # settings that do not go together are told at once
        self.augmentation = augmentation.build(train, seed)
        self._facts: dict[str, dict[str, np.ndarray]] = {}
        self._packings: dict[str, Packing] = {}
        if world_size is not None:
            _ = self.accumulate  # a wrong batch size is told at once

    @property
    def rank(self) -> int:
        """This process among the ranks that read different data."""
        return self._rank if self._rank is not None else (self.trainer.global_rank if self.trainer else 0)

    @property
    def world_size(self) -> int:
        """How many ranks read different data."""
        return self._world_size if self._world_size is not None else (self.trainer.world_size if self.trainer else 1)

    @property
    def accumulate(self) -> int:
        """Micro-batches of each rank in a global batch."""
        at_once = self.micro_batch_size * self.world_size
        if self.global_batch_size % at_once:
            raise ConfigError(
                f"global_batch_size={self.global_batch_size} is not a multiple of {at_once} "
                f"(micro_batch_size={self.micro_batch_size} x {self.world_size} ranks); change one of them"
            )
        return self.global_batch_size // at_once

    @property
    def sequences_per_epoch(self) -> int:
        """Training sequences; an epoch may end within a global batch."""
        n = len(self.train_packing)
        return n if self.train_sequences is None else min(n, self.train_sequences)

    @property
    def source_names(self) -> list[str]:
        """The sources of the corpus, those with the most text first; `source_ids` of a batch are places in it."""
        return self.prepared.receipt["sources"]

    @property
    def is_mixture(self) -> bool:
        """Whether training reads several corpora in given shares; batches say then whose text they are."""
        return self.prepared.mixture is not None

    def training_order(self) -> TrainingOrder:
        """Return the order in which training reads the sequences of `train_packing`."""
        return training_order(
            self.prepared,
            self.train_packing,
            sequences=self.train_sequences,
            step_size=self.global_batch_size,
            seed=self.seed,
        )

    def packing_of(self, split: str) -> Packing:
        """Return the sequences of a split, all of them: of `train` as training packs it."""
        return self.train_packing if split == "train" else self._evaluation_packing(split)

    def add_facts(self, split: str, facts: Mapping[str, np.ndarray]) -> None:
        """Let the batches of `split` carry `facts` of their sequences: name -> array of a row for each sequence.

        The rows are in the order of `packing_of(split)`; a batch [B, ...] has those of its own sequences. Takes effect
        with the next loader.
        """
        for name, rows in facts.items():
            n = len(self.packing_of(split))
            if len(rows) != n:
                raise ValueError(f"{split}: {len(rows)} rows of {name} for {n} sequences")
        self._facts[split] = self.facts_of(split) | dict(facts)

    def facts_of(self, split: str) -> dict[str, np.ndarray]:
        """Return the facts that batches of `split` carry, a row for each sequence."""
        return self._facts.get(split, {})

    @property
    def consumed_sequences(self) -> int:
        """Training sequences that are behind; the next training loader starts here."""
        return self._consumed_sequences

    @property
    def epoch(self) -> float:
        """Passes over the training split that are behind `consumed_sequences`."""
        return self.consumed_sequences / self.sequences_per_epoch

    def advance(self, sequences: int) -> None:
        """Note that a step has consumed that many more sequences."""
        self._consumed_sequences += sequences

    def skip(self, ranges: Iterable[Sequence[int]]) -> None:
        """Leave out the positions [start, stop) of `ranges` as well; takes effect with the next training loader."""
        self.skipped = SkippedRanges([*self.skipped.ranges, *ranges])

    def state_dict(self) -> dict[str, Any]:
        """Return the cursor and the skipped ranges; Lightning saves them in a checkpoint."""
        return {"consumed_sequences": self._consumed_sequences, "skipped": [list(pair) for pair in self.skipped.ranges]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Put the cursor where `state_dict` says; its ranges are skipped besides those that are skipped already.

        Lightning calls this before it asks for the training loader. A run that goes back to an older checkpoint has
        ranges of its own, which the checkpoint does not know yet.
        """
        self._consumed_sequences = int(state_dict["consumed_sequences"])
        self.skip(state_dict["skipped"])

    def origins(self, first: int, last: int, limit: int) -> list[str]:
        """Name at most `limit` documents in consumed sequences [first, last), and say how many there are besides."""
        numbers = self._documents_between(first, last).tolist()
        more = [f"and {len(numbers) - limit} more"] if len(numbers) > limit else []
        return [self._name_document(number) for number in numbers[:limit]] + more

    def sequences_between(self, first: int, last: int) -> np.ndarray:
        """Return the numbers, in the training packing, of the consumed sequences [first, last), in their order."""
        order = self.training_order()
        parts = [order(start, stop) for start, stop in self.skipped.runs(first, last)]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def _documents_between(self, first: int, last: int) -> np.ndarray:
        """Return the numbers, in the training split, of the documents in consumed sequences [first, last), sorted."""
        return self.train_packing.documents(self.sequences_between(first, last))

    def _name_document(self, number: int) -> str:
        """Return `train#17 'First Citizen: Before we'`: a document's number and how it begins."""
        shards = self.prepared.splits["train"]
        start = int(shards.document_ends[number - 1]) if number else 1
        stop = min(int(shards.document_ends[number]), start + TOKENS_SHOWN)
        text = self.prepared.tokenizer.decode([int(token) for token in shards.tokens(start, stop)])
        return f"train#{number} {' '.join(text.split())[:CHARACTERS_SHOWN]!r}"

    def train_dataloader(self) -> DataLoader:
        """Return the endless loader of this rank's micro-batches, from `consumed_sequences` on."""
        batches = TrainBatches(self, start=self.consumed_sequences)
        return self._loader(batches, CountingSampler(ENDLESS))

    def val_dataloader(self) -> DataLoader:
        """Return the loader of this rank's share of the validation split."""
        return self._evaluation_loader("val", self.val_sequences)

    def test_dataloader(self) -> DataLoader | list[DataLoader]:
        """Return the loader of this rank's share of the test split; an empty list when there is none."""
        return self._evaluation_loader("test", self.test_sequences) if "test" in self.prepared.splits else []

    def sequences_of(self, split: str) -> int:
        """Return how many sequences an evaluation split has, all of it."""
        return len(self._evaluation_packing(split))

    def evaluated_sequences(self, split: str) -> int:
        """Return how many of them an evaluation reads."""
        limit, everything = {"val": self.val_sequences, "test": self.test_sequences}[split], self.sequences_of(split)
        return everything if limit is None else min(limit, everything)

    def sequences_read(self, split: str) -> np.ndarray:
        """Return which sequences of `packing_of(split)` are read at all, int64: by training, or by each evaluation."""
        if split == "train":
            return np.arange(self.sequences_per_epoch, dtype=np.int64)
        return spread(self.sequences_of(split), self.evaluated_sequences(split))

    def _evaluation_loader(self, split: str, limit: int | None) -> DataLoader:
        batches = EvaluationBatches(self, split, self._evaluation_packing(split), limit)
        return self._loader(batches, CountingSampler(len(batches)))

    def _evaluation_packing(self, split: str) -> Packing:
        if split not in self._packings:  # what it leaves out is said once
            shards = self.prepared.splits[split]
            self._packings[split] = evaluation_packing(shards, self.seq_len, document_ids=self.document_ids)
        return self._packings[split]

    def _loader(self, batches: Dataset, sampler: Sampler) -> DataLoader:
        return DataLoader(
            batches,
            batch_size=None,
            sampler=sampler,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            worker_init_fn=start_worker,
            pin_memory=torch.cuda.is_available(),
            collate_fn=_as_it_is,
        )


class CountingSampler(Sampler[int]):
    """0, 1, 2, ... without keeping them."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.length))

    def __len__(self) -> int:
        return self.length


class TrainBatches(Dataset[Batch]):
    """Micro-batch i of one rank, counted from the `start` of the run or of its continuation."""

    def __init__(self, data: LanguageDataModule, *, start: int) -> None:
        self.packing, self.augmentation = data.train_packing, data.augmentation
        self.document_ids, self.training_facts = data.training_document_ids, data.training_facts
        self.side = data.prepared.side.get("train", {})
        self.order = data.training_order()
        self.of_sources = data.is_mixture
        self.start, self.size, self.micro_batch_size = start, data.global_batch_size, data.micro_batch_size
        self.rank, self.world_size, self.accumulate = data.rank, data.world_size, data.accumulate
        self.skipped, self.facts = data.skipped, data.facts_of("train")
        self._step, self._targets = -1, 0

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> Batch:
        step, micro_step = divmod(index, self.accumulate)
        first = self.start + step * self.size
        if step != self._step:
            counts = self.packing.target_counts(self._sequences(first, first + self.size))
            self._step, self._targets = step, int(counts.sum())
        mine = first + (micro_step * self.world_size + self.rank) * self.micro_batch_size
        sequences = self._sequences(mine, mine + self.micro_batch_size)
        arrays = self.packing.read(sequences)
        epochs = self.order.epochs(self.skipped.positions(mine, mine + self.micro_batch_size))
        arrays["input_ids"] = self.augmentation(arrays["input_ids"], epochs, sequences)
        arrays |= side_rows(self.side, self.packing, sequences)
        batch = _batch(arrays, self.document_ids, target_tokens=self._targets, sequences=self.size)
        batch.facts = _rows(self.facts, sequences)
        if self.of_sources:
            batch.facts["source_ids"] = torch.from_numpy(self.packing.source_ids(sequences))
        if self.training_facts is not None:
            batch.facts |= {name: torch.from_numpy(array) for name, array in self.training_facts(sequences).items()}
        return batch

    def _sequences(self, first: int, last: int) -> np.ndarray:
        if not self.skipped.ranges:
            return self.order(first, last)
        return np.concatenate([self.order(start, stop) for start, stop in self.skipped.runs(first, last)])


class EvaluationBatches(Dataset[Batch]):
    """Batch i of one rank: all ranks have equally many, the last ones filled up with sequences that have no target.

    The facts have `source_ids`, numbers in the data module's `source_names`, where the split has several sources, and
    `unknown_bytes`, float32 [], where it has unknown tokens: the UTF-8 bytes that those among the labels stand for.
    """

    def __init__(self, data: LanguageDataModule, split: str, packing: Packing, limit: int | None) -> None:
        self.packing, self.document_ids, self.facts = packing, data.document_ids, data.facts_of(split)
        self.side = data.prepared.side.get(split, {})
        n = len(packing) if limit is None else min(limit, len(packing))
        self.sequences = spread(len(packing), n)
        self.rank, self.size = data.rank, data.micro_batch_size
        self.at_once = data.micro_batch_size * data.world_size
        sources = data.prepared.splits[split].document_sources
        self.has_sources = bool((sources != sources[0]).any())
        self.unknown_id = data.prepared.tokenizer.unknown_id
        self.unknown_bytes = bytes_per_unknown(data.prepared.receipt["splits"][split])

    def __len__(self) -> int:
        return -(-len(self.sequences) // self.at_once)

    def __getitem__(self, index: int) -> Batch:
        if not 0 <= index < len(self):
            raise IndexError(index)
        together = self.sequences[index * self.at_once : (index + 1) * self.at_once]
        mine = together[self.rank * self.size : (self.rank + 1) * self.size]
        filled = np.concatenate([mine, np.zeros(self.size - len(mine), dtype=np.int64)])
        arrays = self.packing.read(filled)
        arrays["labels"][len(mine) :] = IGNORE_INDEX
        arrays |= side_rows(self.side, self.packing, filled)
        targets = int(self.packing.target_counts(together).sum())
        batch = _batch(arrays, self.document_ids, target_tokens=targets, sequences=len(together))
        facts = _rows(self.facts, filled)
        facts |= {"source_ids": torch.from_numpy(self.packing.source_ids(filled))} if self.has_sources else {}
        if self.unknown_bytes:
            unknown = int((arrays["labels"] == self.unknown_id).sum())
            facts["unknown_bytes"] = torch.tensor(self.unknown_bytes * unknown, dtype=torch.float32)
        batch.facts = facts
        return batch


def spread(n: int, wanted: int) -> np.ndarray:
    """Return `wanted` of `n` sequences, evenly spread, int64."""
    return np.linspace(0, n - 1, wanted).round().astype(np.int64)


def _batch(arrays: dict[str, np.ndarray], document_ids: bool, *, target_tokens: int, sequences: int) -> Batch:
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
    left_out = {"labels"} if document_ids else {"labels", "document_ids"}
    return Batch(
        inputs={name: tensor for name, tensor in tensors.items() if name not in left_out},
        labels=tensors["labels"],
        sequences=sequences,
        tokens=sequences * arrays["labels"].shape[1],
        target_tokens=target_tokens,
    )


def _rows(facts: Mapping[str, np.ndarray], sequences: np.ndarray) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.ascontiguousarray(rows[sequences])) for name, rows in facts.items()}


def check_pictures(prepared: PreparedData, wanted: tuple[int, int, int] | None, packing: PackingSettings) -> None:
    """Raise ConfigError unless the model reads the pictures that the data have, in their size, one a sequence."""
    file = prepared.side.get("train", {}).get(PICTURES)
    if file is None and wanted is None:
        return
    if file is None:
        raise ConfigError(
            "model.prefix.kind=image reads a picture before each text, and these data have none; choose data=shapes or "
            "data=captions with rendering=caption, or model.prefix.kind=none"
        )
    height, width, channels = file.shape
    if wanted is None:
        raise ConfigError(
            "the data have a picture for each text, and this model reads none; set model.prefix.kind=image (a "
            "transformer), or choose other data"
        )
    if (channels, height, width) != wanted:
        raise ConfigError(
            f"data.image_size={height} data.channels={channels}, but model.prefix.image_size={wanted[1]} "
            f"model.prefix.channels={wanted[0]}; give both alike"
        )
    if not isinstance(packing, PaddedPackingConfig):
        raise ConfigError("a picture stands before one example; choose packing=padded, one example a sequence")


def _as_it_is(batch: Any) -> Any:
    return batch
