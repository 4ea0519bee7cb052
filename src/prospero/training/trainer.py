"""The machine a run trains on, from settings to a `lightning.Trainer`; what it cannot do is said in one line."""

import inspect
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.strategies import DDPStrategy, Strategy

from prospero import distributed
from prospero.errors import ConfigError, suggest
from prospero.training.boundary import StepBoundary, take_over_signals
from prospero.training.guards.settings import GuardsConfig
from prospero.training.guards.watchdog import Watchdog
from prospero.training.launch import cluster_environment
from prospero.training.strategies import AtomicCheckpointIO, FSDP2Strategy


class Accelerator(Enum):
    """The kind of processor."""

    auto = "auto"
    cpu = "cpu"
    gpu = "gpu"
    mps = "mps"


class StrategyName(Enum):
    """How several processes share the work."""

    auto = "auto"
    ddp = "ddp"
    fsdp = "fsdp"


class Precision(Enum):
    """The numbers the model computes in; weights stay float32 except under bf16_true."""

    auto = "auto"
    float32 = "32-true"
    bf16 = "bf16-mixed"
    bf16_true = "bf16-true"
    float16 = "16-mixed"


class MatmulPrecision(Enum):
    """How exact float32 matrix products are."""

    auto = "auto"
    highest = "highest"
    high = "high"
    medium = "medium"


@dataclass(kw_only=True, slots=True)
class TrainerConfig:
    """Devices, precision and rhythm of training."""

    accelerator: Accelerator = Accelerator.auto
    """The kind of processor; auto takes a GPU, else Apple's MPS, else the CPU."""
    devices: int | None = None
    """Processes on this machine, one a device; null takes all of the accelerator, and one on a CPU."""
    num_nodes: int = 1
    """Machines that take part; torchrun and SLURM start the others."""
    strategy: StrategyName = StrategyName.auto
    """ddp copies the model to every process, fsdp shards it (FSDP2); auto is ddp when there are several."""
    precision: Precision = Precision.auto
    """auto is bf16 (autocast) where the processor computes it natively, else float32."""
    matmul_precision: MatmulPrecision = MatmulPrecision.auto
    """auto measures on the CPU which setting is fast and still exact; high on a GPU."""
    compile: bool = False
    """Compile the model's blocks in place; worth it on GPUs, the first steps are slow."""
    max_grad_norm: float | None = 1.0
    """The gradient is scaled down to this global norm; null leaves it alone."""
    val_every_steps: int = 250
    """Optimiser steps between validations; the end is always validated. 0 validates only there."""
    val_sequences: int | None = None
    """Sequences of a validation; null takes the whole validation split."""
    log_every_steps: int = 10
    """Optimiser steps between rows of metrics."""
    num_threads: int | None = None
    """CPU threads of each process; null shares the cores among the processes."""
    deterministic: bool = False
    """Refuse operations whose result varies from run to run (on a CPU nothing does)."""
    guards: GuardsConfig = field(default_factory=GuardsConfig)
    """What happens when loss or gradient go wrong."""
    watchdog_minutes: float | None = 30.0
    """Minutes without a step, a validation batch or a save after which the stacks of all processes are written to the
    run folder and the run ends with exit code 4; null never ends it."""
    lightning: dict[str, Any] = field(default_factory=dict)
    """Further arguments of lightning.Trainer, by its own names."""

    def __post_init__(self) -> None:
        for name in ("devices", "num_nodes", "log_every_steps", "num_threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"trainer.{name}={value} must be at least 1")
        if self.val_every_steps < 0:
            raise ConfigError(f"trainer.val_every_steps={self.val_every_steps} must be 0 (only at the end) or more")
        if self.val_sequences is not None and self.val_sequences < 1:
            raise ConfigError(f"trainer.val_sequences={self.val_sequences} must be at least 1, or null for all")
        if self.max_grad_norm is not None and not self.max_grad_norm > 0:
            raise ConfigError(f"trainer.max_grad_norm={self.max_grad_norm} must be above 0, or null for no clipping")
        if self.watchdog_minutes is not None and not self.watchdog_minutes > 0:
            raise ConfigError(f"trainer.watchdog_minutes={self.watchdog_minutes} must be above 0, or null for none")
        check_lightning_arguments(self.lightning)

    def hardware(self) -> "Hardware":
        """Look at this machine and return what the run will use; ConfigError names what is missing."""
        accelerator = _resolve_accelerator(self.accelerator, self.strategy)
        if distributed.launched_externally():
            devices = distributed.local_world_size()
            num_nodes = max(self.num_nodes, distributed.world_size() // devices)
        else:
            devices, num_nodes = self.devices or _default_devices(accelerator), self.num_nodes
        _check_device_count(accelerator, devices)
        precision = _resolve_precision(self.precision, accelerator)
        strategy = self.strategy
        if strategy is StrategyName.auto and devices * num_nodes > 1:
            strategy = StrategyName.ddp
        return Hardware(accelerator, devices, num_nodes, strategy, precision)

    def build(
        self,
        *,
        run_dir: Path,
        max_steps: int,
        accumulate: int = 1,
        max_minutes: float | None = None,
        callbacks: Sequence[Callback] = (),
        loggers: Sequence[Logger] = (),
    ) -> L.Trainer:
        """Return the Trainer; `accumulate` micro-steps make one optimiser step, of which `max_steps` are taken."""
        hardware = self.hardware()
        _quieten_lightning()
        if self.num_threads is not None:
            torch.set_num_threads(self.num_threads)
        set_matmul_precision(self.matmul_precision, hardware.accelerator)
        val_every_micro_steps = self.val_every_steps * accumulate or 2**62
        everything = [StepBoundary(max_minutes=max_minutes), *callbacks]
        if self.watchdog_minutes is not None:
            everything.append(Watchdog(run_dir, self.watchdog_minutes))
        arguments: dict[str, Any] = {
            "accelerator": hardware.accelerator.value,
            "devices": hardware.devices,
            "num_nodes": hardware.num_nodes,
            "strategy": hardware.build_strategy(),
            "precision": hardware.precision.value,
            "logger": list(loggers) or False,
            "callbacks": everything,
            "max_steps": max_steps,
            "max_epochs": -1,
            "val_check_interval": val_every_micro_steps,
            "check_val_every_n_epoch": None,
            "num_sanity_val_steps": 0,
            "log_every_n_steps": self.log_every_steps,
            "enable_checkpointing": any(isinstance(callback, Checkpoint) for callback in everything),
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "accumulate_grad_batches": accumulate,
            "deterministic": self.deterministic or None,
            "inference_mode": hardware.strategy is not StrategyName.fsdp,
            "use_distributed_sampler": False,
            "plugins": [AtomicCheckpointIO(), *cluster_environment()],
            "default_root_dir": run_dir,
        }
        trainer = L.Trainer(**{**arguments, **self.lightning})
        take_over_signals(trainer)
        return trainer


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a run uses of its machines, all `auto` settings decided."""

    accelerator: Accelerator
    devices: int
    num_nodes: int
    strategy: StrategyName
    precision: Precision

    @property
    def world_size(self) -> int:
        """Processes of the whole run."""
        return self.devices * self.num_nodes

    def build_strategy(self) -> "Strategy | str":
        """Return Lightning's strategy."""
        if self.strategy is StrategyName.fsdp:
            return FSDP2Strategy()
        if self.strategy is StrategyName.ddp:
            backend = "gloo" if self.accelerator is Accelerator.cpu else None
            return DDPStrategy(process_group_backend=backend, gradient_as_bucket_view=True)
        return "auto"

    def describe(self) -> str:
        """Return one line, such as `2 x cpu, fsdp, float32`."""
        how = "" if self.strategy is StrategyName.auto else f", {self.strategy.name}"
        return f"{self.world_size} x {self.accelerator.name}{how}, {self.precision.name}"


_OURS = {
    "accelerator": "trainer.accelerator",
    "devices": "trainer.devices",
    "num_nodes": "trainer.num_nodes",
    "strategy": "trainer.strategy",
    "precision": "trainer.precision",
    "deterministic": "trainer.deterministic",
    "max_steps": "max_steps",
    "max_epochs": "max_steps or max_tokens",
    "max_time": "max_minutes",
    "logger": "logger",
    "callbacks": "callbacks",
    "enable_checkpointing": "callbacks=[checkpoints]",
    "enable_progress_bar": "callbacks=[progress]",
    "accumulate_grad_batches": "global_batch_size and micro_batch_size",
    "gradient_clip_val": "trainer.max_grad_norm",
    "gradient_clip_algorithm": "trainer.max_grad_norm",
    "val_check_interval": "trainer.val_every_steps",
    "check_val_every_n_epoch": "trainer.val_every_steps",
    "log_every_n_steps": "trainer.log_every_steps",
    "use_distributed_sampler": "nothing: the order of the data is a function of seed and epoch",
    "plugins": "nothing: Prospero writes checkpoints itself",
    "default_root_dir": "run_dir",
}
"""Argument of lightning.Trainer -> our setting that decides it."""


def check_lightning_arguments(arguments: dict[str, Any]) -> None:
    """Raise ConfigError for a name that lightning.Trainer does not have, or that a setting of ours decides."""
    known = set(inspect.signature(L.Trainer.__init__).parameters) - {"self"}
    for name in arguments:
        if name in _OURS:
            raise ConfigError(f"trainer.lightning.{name} is decided by another setting; use {_OURS[name]}")
        if name not in known:
            raise ConfigError(f"lightning.Trainer has no argument '{name}'.{suggest(name, known - set(_OURS))}")


def _resolve_accelerator(asked: Accelerator, strategy: StrategyName) -> Accelerator:
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if asked is Accelerator.auto:
        if strategy is StrategyName.fsdp and not cuda:
            raise ConfigError(
                "trainer=fsdp needs a GPU; none was found. To try it on CPU: trainer.accelerator=cpu trainer.devices=2"
            )
        return Accelerator.gpu if cuda else Accelerator.mps if mps else Accelerator.cpu
    if asked is Accelerator.gpu and not cuda:
        why = "none was found" if torch.version.cuda else "this PyTorch is built without CUDA"
        name = "trainer=fsdp" if strategy is StrategyName.fsdp else "trainer.accelerator=gpu"
        raise ConfigError(f"{name} needs a GPU; {why}. To try it on CPU: trainer.accelerator=cpu trainer.devices=2")
    if asked is Accelerator.mps and not mps:
        raise ConfigError(
            "trainer.accelerator=mps needs an Apple GPU; none was found. Leave the setting out, or give "
            "trainer.accelerator=cpu"
        )
    return asked


def _default_devices(accelerator: Accelerator) -> int:
    return torch.cuda.device_count() if accelerator is Accelerator.gpu else 1


def _check_device_count(accelerator: Accelerator, devices: int) -> None:
    if accelerator is Accelerator.gpu and devices > torch.cuda.device_count():
        raise ConfigError(f"trainer.devices={devices}, but this machine has {torch.cuda.device_count()} GPU(s)")
    if accelerator is Accelerator.mps and devices > 1:
        raise ConfigError(f"trainer.devices={devices}, but MPS drives one GPU; leave trainer.devices out")


def _cpu_computes_bf16() -> bool:
    """Whether the CPU has instructions for bf16 products (AMX or AVX-512 BF16), not only an emulation."""
    checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(bool(getattr(torch.cpu, check, lambda: False)()) for check in checks)


def _cpu_accepts_bf16() -> bool:
    accepts = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return _cpu_computes_bf16() or (accepts is not None and bool(accepts()))


def _resolve_precision(asked: Precision, accelerator: Accelerator) -> Precision:
    if asked is Precision.auto:
        if accelerator is Accelerator.gpu:
            return Precision.bf16 if torch.cuda.is_bf16_supported(including_emulation=False) else Precision.float32
        native = accelerator is Accelerator.cpu and _cpu_computes_bf16()
        return Precision.bf16 if native else Precision.float32
    if asked is Precision.float16 and accelerator is Accelerator.cpu:
        raise ConfigError(
            "trainer.precision=float16 needs a GPU; on a CPU use trainer.precision=bf16 or trainer.precision=float32"
        )
    if asked in (Precision.bf16, Precision.bf16_true):
        if accelerator is Accelerator.cpu and not _cpu_accepts_bf16():
            raise ConfigError(
                f"trainer.precision={asked.name}: this processor has no bf16 arithmetic (AMX or AVX-512); "
                "use trainer.precision=float32"
            )
        if accelerator is Accelerator.gpu and not torch.cuda.is_bf16_supported(including_emulation=False):
            raise ConfigError(
                f"trainer.precision={asked.name}: {torch.cuda.get_device_name()} has no bf16 arithmetic; "
                "use trainer.precision=float16 or trainer.precision=float32"
            )
    return asked


def _quieten_lightning() -> None:
    """Hide Lightning's advertisements and the warnings that do not hold here; its errors stay."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*resuming from a checkpoint that ended before the epoch ended.*",  # the cursor makes it exact
        ".*LeafSpec.*is deprecated.*",
        ".*It is recommended to use `self.log.*sync_dist=True.*",  # what is logged is already summed over the ranks
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*is smaller than the logging interval.*",
    ):
        warnings.filterwarnings("ignore", message=message)


def set_matmul_precision(asked: MatmulPrecision, accelerator: Accelerator) -> None:
    """Set torch's float32 product precision; auto is TF32 (`high`) on a GPU and is left alone elsewhere."""
    if asked is not MatmulPrecision.auto:
        torch.set_float32_matmul_precision(asked.value)
    elif accelerator is Accelerator.gpu:
        torch.set_float32_matmul_precision("high")
