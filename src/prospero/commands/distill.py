"""`distill`: what a teacher thinks of every position of the training sequences, stored, so that training needs none."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prospero.errors import ConfigError
from prospero.training.settings import TrainConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from prospero.checkpoints.source import Source
    from prospero.data.packing.packing import Packing
    from prospero.data.prepare import PreparedData
    from prospero.objective.losses.distill import DistillConfig
    from prospero.training.distillation.store import StoreFacts

EXAMPLES = [
    ("prospero distill loss=distill loss.distill.teacher=last top_k=32", "the data, packing and length of train"),
    ("python train.py model=tiny loss=distill loss.distill.store=<the name it prints>", "then learns from it"),
]


@dataclass(kw_only=True, slots=True)
class StoreConfig(TrainConfig):
    """All settings of a training run, and how much of the teacher is stored."""

    top_k: int = 64
    """Tokens stored of each position, the likeliest; all others are one number together."""

    def __post_init__(self) -> None:
        TrainConfig.__post_init__(self)
        if self.top_k < 1:
            raise ConfigError(f"top_k={self.top_k} stores nothing; give 1 or more")


def distill(config: StoreConfig) -> int:
    """Let the teacher read the training sequences, store what it thinks, and print the name; return the exit code."""
    from prospero import log
    from prospero.commands.init_from import begin_from
    from prospero.commands.teaching import STORE, stores_dir
    from prospero.data.mixture.preparation import prepare
    from prospero.data.mixture.training import training_packing
    from prospero.training.distillation.frozen import load_teacher
    from prospero.training.distillation.writing import write_store

    log.configure()
    source, loss = _teacher(config)
    config = begin_from(config)[0]
    hardware = config.trainer.hardware()
    if hardware.world_size > 1:
        raise ConfigError("distill uses one device; add trainer.devices=1")
    prepared = prepare(config)
    packing = training_packing(prepared, config.packing, config.seq_len)
    facts = _facts(config, prepared, packing, source, hardware.precision.name)
    teacher = load_teacher(source, hardware.precision.compute_dtype, facts.vocabulary)
    name = f"{source.model['name']}-top{facts.top_k}-{facts.fingerprint[:12]}"
    positions = facts.sequences * facts.seq_len
    size = positions * (facts.top_k * (2 if facts.vocabulary <= 2**16 else 4) + 2 * (facts.top_k + 1))
    log.log.info("%s positions of %d sequences, %.0f MB", f"{positions:,}", facts.sequences, size / 1e6)
    folder = write_store(
        stores_dir(config.outputs_dir) / name,
        facts,
        teacher,
        packing,
        batch_size=config.micro_batch_size or config.global_batch_size,
        chunk_tokens=loss.chunk_tokens,
        device={"gpu": "cuda"}.get(hardware.accelerator.name, hardware.accelerator.name),
        on_batch=_say_each_tenth(facts.sequences),
    )
    log.log.info("written: %s", folder)
    print(f"{STORE}={folder.name}")
    return 0


def _teacher(config: StoreConfig) -> "tuple[Source, DistillConfig]":
    from prospero.commands.teaching import teacher_source
    from prospero.training.distillation.teaching import distillation

    loss = distillation(config)
    if loss is None or loss.teacher is None:
        raise ConfigError("distill stores what a teacher thinks; give loss=distill loss.distill.teacher=<a model>")
    return teacher_source(loss.teacher, config), loss


def _facts(
    config: StoreConfig, prepared: "PreparedData", packing: "Packing", source: "Source", precision: str
) -> "StoreFacts":
    from prospero.training.distillation.teaching import check_teacher, store_facts

    check_teacher(source, config, prepared)
    sequences = min(len(packing), config.train_sequences or len(packing))
    facts = store_facts(config, prepared, source.plain(), config.top_k, sequences, precision)
    if facts.top_k > facts.vocabulary:
        raise ConfigError(f"top_k={facts.top_k} is more than all {facts.vocabulary} tokens; give that many at most")
    return facts


def _say_each_tenth(sequences: int) -> "Callable[[int], None]":
    from prospero.log import log

    said = -1

    def say(done: int) -> None:
        nonlocal said
        if 10 * done // sequences > said >= 0:
            log.info("%d of %d sequences", done, sequences)
        said = 10 * done // sequences

    return say
