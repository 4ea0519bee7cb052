"""All settings of a training run. Nothing heavy is imported here: composing, `--help` and sweeps need these alone."""

from dataclasses import dataclass, field
from typing import Any

from prospero import registry
from prospero.data.parts import MISSING, AugmentationSettings, PackingSettings
from prospero.data.settings import PrepareConfig
from prospero.errors import ConfigError
from prospero.evaluation.rewards.parts import RewardSettings
from prospero.evaluation.tasks.parts import AnalysisSettings, TaskSettings
from prospero.secret_values import scrub
from prospero.training.parts import (
    AdapterSettings,
    CallbackSettings,
    LoggerSettings,
    Losses,
    MetricSettings,
    ModelSettings,
    OptimizerSettings,
    RegularizerSettings,
    SamplingSettings,
    ScheduleSettings,
    TrainerSettings,
)
from prospero.training.rollouts.settings import RolloutsConfig

RESUME = "auto, last, best or a folder"
EVALUATION, ANALYSIS = "evaluation", "analysis"
"""The callbacks that measure tasks and do analyses."""
QUICK_START_STEPS = 300
"""Length of a run that no limit was given for: minutes on two CPU cores."""


@dataclass(kw_only=True, slots=True)
class InitConfig:
    """How a run takes over what init_from names."""

    resize_vocab: bool = False
    """Let tokenizer= be one with more tokens: the embedding and the head get a row for each, the mean of the others."""
    required: bool = False
    """Refuse to begin with random weights: set by presets that go on from a model."""


@dataclass(kw_only=True, slots=True)
class TrainConfig(PrepareConfig):
    """All settings of a training run; the groups hold the parts."""

    packing: PackingSettings = MISSING
    """How documents fill sequences."""
    augmentation: AugmentationSettings = MISSING
    """Noise on the inputs of training."""
    model: ModelSettings = MISSING
    """The network; with init_from, where it is left alone, the source's."""
    adapter: AdapterSettings | None = None
    """What of the network is trained; null (a config.yaml of before this setting): all of it."""
    loss: Losses = MISSING
    """What is minimised: one loss or several, each with its weight."""
    regularizers: dict[str, RegularizerSettings] = field(default_factory=dict)
    """Named, weighted terms added to the loss."""
    reward: dict[str, RewardSettings] = field(default_factory=dict)
    """What the model's own completions are rewarded for (loss=grpo)."""
    rollouts: RolloutsConfig = field(default_factory=RolloutsConfig)
    """How they are drawn and judged."""
    optimizer: OptimizerSettings = MISSING
    """The update rule."""
    schedule: ScheduleSettings = MISSING
    """The learning rate over the run."""
    trainer: TrainerSettings = MISSING
    """Device, strategy, precision, and how often to validate."""
    metrics: dict[str, MetricSettings] | None = None
    """What a validation measures; null (a config.yaml of before this setting): loss, perplexity and bits per byte."""
    tasks: dict[str, TaskSettings] = field(default_factory=dict)
    """What the callback `evaluation` measures on the way; `evaluation.tasks` is the same setting."""
    analyses: dict[str, AnalysisSettings] = field(default_factory=dict)
    """What the callback `analysis` looks at inside the model on the way; `analysis.analyses` is the same setting."""
    callbacks: dict[str, CallbackSettings] = field(default_factory=dict)
    """What happens beside the steps: checkpoints, samples, early stopping."""
    logger: dict[str, LoggerSettings] = field(default_factory=dict)
    """Where metrics go besides metrics.csv."""
    sampling: SamplingSettings = MISSING
    """How the samples during training are drawn."""

    name: str | None = None
    """Name of the run; without one it is made of the chosen data and model."""
    run_dir: str | None = None
    """Folder of the run; without one it is <outputs_dir>/train/<date>_<time>_<name>."""
    init_from: str | None = None
    """Begin with the weights, architecture and tokenizer of a run, a model folder, a checkpoint, or a Hugging Face
    folder or hub name."""
    init: InitConfig = field(default_factory=InitConfig)
    """How a run takes over what init_from names."""
    resume: str | None = None
    """Continue a run: auto (whatever run_dir holds), last, best, or the path of a checkpoint."""
    monitor: str = "val/loss"
    """The number of validation, or of a task (val/<task>/<number>), by which the best checkpoint, early stopping,
    pruning and a sweep's table judge."""
    tags: list[str] = field(default_factory=list)
    """Words to find the run by; written to its files and loggers."""
    seed: int = 1
    """Seed of the weights, of the order of the data and of all noise."""
    seq_len: int = 256
    """Length of a training sequence, in tokens."""
    max_steps: int | None = None
    """Stop after this many optimiser steps; without any of the four limits, QUICK_START_STEPS."""
    max_tokens: int | None = None
    """Stop after this many training tokens, rounded up to a whole step."""
    max_flops: float | None = None
    """Stop after this many floating-point operations of training, rounded up to a whole step."""
    max_minutes: float | None = None
    """Stop after this many minutes of training."""
    price_per_hour: float | None = None
    """What an hour of one machine costs, in your currency: the result says what the run cost, its restarts included."""
    train_sequences: int | None = None
    """Train on this many sequences of the training split only, over and over; null takes all."""
    global_batch_size: int = 16
    """Sequences per optimiser step, over all devices."""
    micro_batch_size: int | None = None
    """Sequences per device and forward pass; without one the whole share of a device; the rest is accumulated."""

    def __post_init__(self) -> None:
        PrepareConfig.__post_init__(self)  # not super(): a dataclass with slots is another class than the one written
        for name, what in (("run_dir", "a folder"), ("resume", RESUME), ("init_from", "a run or a folder")):
            if (value := getattr(self, name)) is not None and not value.strip():
                raise ConfigError(f"{name}= is empty; give {what}, or leave it out")
        for name in (
            "seq_len",
            "global_batch_size",
            "micro_batch_size",
            "train_sequences",
            "max_steps",
            "max_tokens",
            "max_flops",
            "max_minutes",
        ):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ConfigError(f"{name}={value} is not possible; give a number above zero")
        if self.price_per_hour is not None and not 0 <= self.price_per_hour < float("inf"):
            raise ConfigError(f"price_per_hour={self.price_per_hour} is not possible; give 0 or more, or leave it out")
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"seed={self.seed} is not possible; give a whole number from 0 to {2**32 - 1}")
        if "ema" in self.callbacks and registry.name_of("optimizer", type(self.optimizer)) == "schedule_free":
            raise ConfigError("optimizer=schedule_free keeps an average of its own; leave the callback ema out")
        self._check_measured("tasks", self.tasks, EVALUATION)
        self._check_measured("analyses", self.analyses, ANALYSIS)
        if self.init.resize_vocab and self.init_from is None:
            raise ConfigError("init.resize_vocab=true is for init_from=, which is not given")
        if self.micro_batch_size and self.global_batch_size % self.micro_batch_size:
            raise ConfigError(
                f"micro_batch_size={self.micro_batch_size} does not divide global_batch_size={self.global_batch_size}"
            )

    def _check_measured(self, group: str, parts: dict[str, Any], callback: str) -> None:
        measures = callback in self.callbacks
        if parts and not measures:
            chosen = ",".join([*self.callbacks, callback])
            raise ConfigError(
                f"{group}=[{','.join(parts)}] are measured by the callback {callback}, which is not chosen; add "
                f"it: callbacks=[{chosen}]"
            )
        if measures and not parts:
            raise ConfigError(
                f"the callback {callback} has nothing to measure; choose {callback}.{group}=[...], or leave it out"
            )
        if measures and self.trainer.lightning.get("limit_val_batches") == 0:
            raise ConfigError(
                f"{group} are measured in validations, of which trainer.lightning.limit_val_batches=0 makes none"
            )
        if both := sorted(set(self.tasks) & set(self.analyses)):
            raise ConfigError(f"'{both[0]}' is a task and an analysis, and numbers have one name; leave one out")

    def limits(self) -> dict[str, Any]:
        """Return max_steps, max_tokens, max_flops and max_minutes, with the quick start's length when none is given."""
        given = {"max_steps": self.max_steps, "max_tokens": self.max_tokens}
        given |= {"max_flops": self.max_flops, "max_minutes": self.max_minutes}
        return given if any(value is not None for value in given.values()) else given | {"max_steps": QUICK_START_STEPS}

    def run_name(self) -> str:
        """Return the run's name: the one given, else what is trained on what."""
        return scrub(self.name or "") or "_".join(
            registry.name_of(g, type(getattr(self, g))) or g for g in ("data", "model")
        )
