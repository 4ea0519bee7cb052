"""A language model of a few hundred parameters, data made of arithmetic, and a run of both: shared by these tests."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from prospero.batch import Batch
from prospero.evaluation.metrics.base import MetricFacts
from prospero.evaluation.metrics.bits_per_byte import BitsPerByteConfig
from prospero.evaluation.metrics.collection import TokenMetrics
from prospero.evaluation.metrics.loss import LossMetric
from prospero.evaluation.metrics.perplexity import Perplexity
from prospero.model.base import LanguageModel, ModelOutput
from prospero.objective.losses.cross_entropy import CrossEntropyConfig
from prospero.objective.objective import Objective
from prospero.training.checkpoint_io import folder_strategy
from prospero.training.module import TrainingModule
from prospero.training.optimization import Optimization
from prospero.training.trainer import Accelerator, Precision, TrainerConfig

VOCAB, SEQ_LEN, WIDTH = 11, 6, 8


class TinyModel(LanguageModel):
    """Embedding, two residual linear blocks with dropout, head."""

    def __init__(self, dropout: float = 0.1, vocab_size: int = VOCAB, tied: bool = False) -> None:
        super().__init__(vocab_size, SEQ_LEN, WIDTH)
        self.embedding = nn.Embedding(vocab_size, WIDTH)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.GELU()) for _ in range(2))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(WIDTH, vocab_size, bias=False)
        if tied:
            self.head.weight = self.embedding.weight

    def forward(
        self, input_ids: Tensor, *, document_ids: Any = None, cache: Any = None, logits: bool = True
    ) -> ModelOutput:
        hidden = self.embedding(input_ids)
        for block in self.blocks:
            hidden = hidden + self.dropout(block(hidden))
        return ModelOutput(hidden, self.project(hidden) if logits else None, cache)

    def output_weight(self) -> Tensor:
        return self.head.weight


@dataclass(kw_only=True, slots=True)
class TinyConfig:
    """Settings of TinyModel, as a part of the table would have them."""

    dropout: float = 0.1
    tied: bool = False

    def build(self, vocab_size: int, max_seq_len: int) -> TinyModel:
        return TinyModel(self.dropout, vocab_size, self.tied)


class Sequences(Dataset):
    """Micro-batch i of one rank, a pure function of its place in the run; every batch has its own number of targets."""

    def __init__(self, data: "TinyData", start: int) -> None:
        self.data, self.start = data, start

    def __len__(self) -> int:
        return 10**9

    def __getitem__(self, index: int) -> Batch:
        data = self.data
        step, micro = divmod(index, data.accumulate)
        first = self.start + step * data.global_batch_size
        everything = [sequence(first + i) for i in range(data.global_batch_size)]
        mine = everything[(micro * data.world_size + data.rank) * data.micro_batch_size :][: data.micro_batch_size]
        counts = sum(int((labels != -100).sum()) for _, labels in everything)
        return collate(mine, sequences=data.global_batch_size, target_tokens=counts)


def sequence(index: int) -> tuple[Tensor, Tensor]:
    """Counting modulo VOCAB with a step that the first token sets; some targets are left out."""
    ids = torch.tensor([(index * 7 + i * (1 + index % 3)) % VOCAB for i in range(SEQ_LEN + 1)])
    labels = ids[1:].clone()
    labels[: index % 4] = -100
    return ids[:-1], labels


def collate(pairs: list[tuple[Tensor, Tensor]], *, sequences: int = 0, target_tokens: int = 0) -> Batch:
    """The micro-batch of these sequences, a global batch of its own unless the counts of one are given."""
    labels = torch.stack([p[1] for p in pairs])
    sequences = sequences or len(pairs)
    return Batch(
        inputs={"input_ids": torch.stack([p[0] for p in pairs])},
        labels=labels,
        sequences=sequences,
        tokens=sequences * SEQ_LEN,
        target_tokens=target_tokens or int((labels != -100).sum()),
    )


class Validation(Dataset):
    """Four batches of two sequences."""

    def __init__(self, data: "TinyData") -> None:
        self.data = data

    def __len__(self) -> int:
        return 4 // self.data.world_size

    def __getitem__(self, index: int) -> Batch:
        if index >= len(self):
            raise IndexError
        place = (index * self.data.world_size + self.data.rank) * 2
        return collate([sequence(10**6 + place), sequence(10**6 + place + 1)])


class TinyData(L.LightningDataModule):
    """The contract of LanguageDataModule, in little."""

    def __init__(self, global_batch_size: int = 4, micro_batch_size: int = 4) -> None:
        super().__init__()
        self.global_batch_size, self.micro_batch_size = global_batch_size, micro_batch_size
        self.consumed_sequences = 0
        self.skipped: list[list[int]] = []

    def advance(self, sequences: int) -> None:
        self.consumed_sequences += sequences

    def skip(self, ranges: Any) -> None:
        self.skipped += [list(pair) for pair in ranges]

    def origins(self, first: int, last: int, limit: int) -> list[str]:
        return []

    def state_dict(self) -> dict[str, Any]:
        return {"consumed_sequences": self.consumed_sequences, "skipped": self.skipped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.consumed_sequences = state_dict["consumed_sequences"]
        self.skip(state_dict["skipped"])

    @property
    def rank(self) -> int:
        return self.trainer.global_rank // self._together

    @property
    def world_size(self) -> int:
        return self.trainer.world_size // self._together

    @property
    def _together(self) -> int:
        return folder_strategy(self.trainer).tensor_parallel

    @property
    def accumulate(self) -> int:
        return self.global_batch_size // (self.micro_batch_size * self.world_size)

    def train_dataloader(self) -> DataLoader:
        return DataLoader(Sequences(self, self.consumed_sequences), batch_size=None, shuffle=False)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(Validation(self), batch_size=None, shuffle=False)

    def test_dataloader(self) -> DataLoader:
        return DataLoader(Validation(self), batch_size=None, shuffle=False)


@dataclass
class SGD:
    """Settings of torch's SGD with momentum, so that there is optimiser state."""

    lr: float = 0.1

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(model.parameters(), lr=self.lr, momentum=0.9)


@dataclass
class Fall:
    """A learning rate that falls, so that the schedule's place matters."""

    def build(self, optimizer: torch.optim.Optimizer, total_steps: int) -> Any:
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0 / (1 + 0.1 * step))


def tiny_metrics() -> TokenMetrics:
    """The metrics of a default run but for accuracy."""
    facts = MetricFacts(token_bytes=np.ones(VOCAB, np.int32), seq_len=SEQ_LEN)
    return TokenMetrics(
        {"loss": LossMetric(), "perplexity": Perplexity(), "bits_per_byte": BitsPerByteConfig().build(facts)}
    )


def tiny_module(
    *,
    dropout: float = 0.1,
    lr: float = 0.1,
    regularizers: Any = None,
    optimizer: Any = None,
    metrics: TokenMetrics | None = None,
    guards: Any = None,
    facts: Any = None,
    **how: Any,
) -> TrainingModule:
    """A TrainingModule over TinyModel, the same weights each time."""
    torch.manual_seed(7)
    defaults: dict[str, Any] = {"optimizer": optimizer or SGD(lr), "schedule": Fall(), "total_steps": 20, "seed": 3}
    return TrainingModule(
        TinyModel(dropout),
        Objective({"cross_entropy": CrossEntropyConfig().build()}, regularizers or {}),
        metrics or tiny_metrics(),
        Optimization(**{**defaults, **how}),
        guards=guards,
        facts=facts,
    )


def tiny_trainer(
    run_dir: Path,
    *,
    max_steps: int = 12,
    accumulate: int = 1,
    loggers: Any = (),
    callbacks: Any = (),
    max_minutes: Any = None,
    **settings: Any,
) -> L.Trainer:
    """A Trainer of one CPU process in float32 that logs every step."""
    defaults: dict[str, Any] = {
        "accelerator": Accelerator.cpu,
        "precision": Precision.float32,
        "log_every_steps": 1,
        "val_every_steps": 5,
    }
    return TrainerConfig(**{**defaults, **settings}).build(
        run_dir=run_dir,
        max_steps=max_steps,
        accumulate=accumulate,
        loggers=loggers,
        callbacks=callbacks,
        max_minutes=max_minutes,
    )
