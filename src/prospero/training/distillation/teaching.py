"""What a run with `loss=distill` learns from: the teacher's place or its store, checked and handed to the loss."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from prospero import registry
from prospero.checkpoints.model_folder import model_settings
from prospero.checkpoints.source import Source
from prospero.data.prepare import PreparedData
from prospero.errors import ConfigError
from prospero.objective.losses.distill import Distill, DistillConfig, StoredDistill
from prospero.plain import plain
from prospero.training.distillation.frozen import FrozenTeacher, load_teacher
from prospero.training.distillation.store import StoreFacts, TeacherStore, check_store

if TYPE_CHECKING:
    from prospero.training.settings import TrainConfig


@dataclass(slots=True)
class Teaching:
    """A run's teacher, loaded once a process, or what one said."""

    source: Source | None = None
    """The teacher beside the student."""
    store: TeacherStore | None = None
    """What a teacher said, in its place."""
    loaded: FrozenTeacher | None = None

    @property
    def reads_document_ids(self) -> bool:
        """Whether the teacher tells documents apart that stand in one sequence."""
        settings: Any = plain(model_settings(self.source.model)) if self.source is not None else {}
        return bool(settings.get("document_attention"))

    @property
    def fingerprint(self) -> str:
        """That of the teacher, or of the store."""
        return self.source.fingerprint if self.source is not None else self.stored.facts.fingerprint

    def plain(self) -> dict[str, Any]:
        """Return the receipt of the teacher."""
        return self.source.plain() if self.source is not None else self.stored.facts.plain()

    @property
    def stored(self) -> TeacherStore:
        """The store; there is one where there is no teacher."""
        assert self.store is not None, "a run learns from a teacher or from a store"
        return self.store

    def check(self, config: "TrainConfig", prepared: PreparedData, sequences: int) -> None:
        """Raise ConfigError where the teacher, or the store, does not go with the run's tokens and sequences."""
        if self.source is None:
            found = self.stored.facts
            now = store_facts(config, prepared, found.teacher, found.top_k, sequences, found.precision)
            check_store(self.stored, now)
        else:
            check_teacher(self.source, config, prepared)

    def teach(self, losses: Iterable[object], compute_dtype: torch.dtype, vocabulary: int) -> None:
        """Give the losses that learn from a teacher what they learn from."""
        for loss in losses:
            if isinstance(loss, Distill):
                if self.loaded is None:
                    assert self.source is not None, "a Distill has a teacher"
                    self.loaded = load_teacher(self.source, compute_dtype, vocabulary)
                loss.teacher = self.loaded
            elif isinstance(loss, StoredDistill):
                loss.vocabulary = vocabulary


def distillation(config: "TrainConfig") -> DistillConfig | None:
    """Return the settings of the loss that learns from a teacher, where the run has one.

    Raises ConfigError where it names none, or where there are several.
    """
    found = {name: loss for name, loss in config.loss.items() if isinstance(loss, DistillConfig)}
    if len(found) > 1:
        raise ConfigError(
            f"the losses {', '.join(found)} learn from a teacher each; a run has one: leave the others out"
        )
    for name, loss in found.items():
        if loss.teacher is None and loss.store is None:
            raise ConfigError(
                f"loss.{name} learns from a teacher; give loss.{name}.teacher=<a run, a model folder, a Hugging Face "
                f"folder or name>, or loss.{name}.store=<what prospero distill wrote>"
            )
        return loss
    return None


def check_teacher(source: Source, config: "TrainConfig", prepared: PreparedData) -> None:
    """Raise ConfigError unless the teacher reads the tokens of `prepared`, and seq_len of them at once."""
    if source.tokenizer != prepared.tokenizer.fingerprint():
        ours = prepared.tokenizer.fingerprint()[:12]
        raise ConfigError(
            f"the teacher {source.given} reads other tokens than the student (fingerprint of its tokenizer "
            f"{source.tokenizer[:12]}, of the student's {ours}); give tokenizer=pretrained "
            f"tokenizer.path={source.tokenizer_file().parent}"
        )
    if config.seq_len > source.max_seq_len:
        raise ConfigError(
            f"the teacher {source.given} reads {source.max_seq_len} tokens at once, fewer than seq_len="
            f"{config.seq_len}; give seq_len={source.max_seq_len} or less"
        )


def store_facts(
    config: "TrainConfig",
    prepared: PreparedData,
    teacher: Mapping[str, Any],
    top_k: int,
    sequences: int,
    precision: str,
) -> StoreFacts:
    """Return what decides the numbers of a store of this run's training sequences."""
    loss = distillation(config)
    assert loss is not None, "asked for by who has such a loss"
    return StoreFacts(
        teacher=dict(teacher),
        data=prepared.fingerprint,
        tokenizer=prepared.tokenizer.fingerprint(),
        packing={"name": registry.name_of("packing", type(config.packing)), "settings": plain(config.packing)},
        seq_len=config.seq_len,
        temperature=float(loss.temperature),
        top_k=top_k,
        vocabulary=prepared.tokenizer.vocab_size,
        sequences=sequences,
        precision=precision,
    )
