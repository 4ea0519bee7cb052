"""The machine a run trains on, from settings to a `lightning.Trainer`; what it cannot do is said in one line."""

import inspect
import logging
import os
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
from lightning.pytorch.strategies import Strategy

from prospero.errors import ConfigError, suggest
from prospero.evaluation.bounds import ALL, AUTO
from prospero.log import log
from prospero.processes import ranks
from prospero.training.callbacks.optimizer_average import OptimizerAverage
from prospero.training.cluster import cluster_environment
from prospero.training.compilation import EARLIER, CompileChoice, check_compilation, check_mode
from prospero.training.guards.settings import GuardsConfig
from prospero.training.guards.watchdog import Watchdog
from prospero.training.layout import Layout
from prospero.training.lightning_seams import take_over_signals
from prospero.training.loop import StepLoop
from prospero.training.strategies import CopiesStrategy, FSDP2Strategy, OneDeviceStrategy


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
    hsdp = "hsdp"
    tensor_parallel = "tensor_parallel"

    @property
    def sharded(self) -> bool:
        """Whether no process need hold the whole model."""
        return self in (StrategyName.fsdp, StrategyName.hsdp, StrategyName.tensor_parallel)


class Precision(Enum):
    """The numbers the model computes in; weights stay float32 except under bf16_true."""

    auto = "auto"
    float32 = "32-true"
    bf16 = "bf16-mixed"
    bf16_true = "bf16-true"
    float16 = "16-mixed"

    @property
    def compute_dtype(self) -> torch.dtype:
        """The type of the products, as `LanguageModel.compute_dtype` wants it; `auto` must have been decided."""
        assert self is not Precision.auto, "auto becomes float32 or bf16 before a model is built"
        return {"32-true": torch.float32, "16-mixed": torch.float16}.get(self.value, torch.bfloat16)


class MatmulPrecision(Enum):
    """How exact float32 matrix products are."""

    auto = "auto"
    highest = "highest"
    high = "high"
    medium = "medium"


MOST_THREADS = 1024
"""No machine has more cores; a system that is asked for many more ends the program without a word."""


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
    """ddp copies the model to every process, fsdp shards it (FSDP2), hsdp shards each of a few copies, tensor_parallel
    shares out every layer's arithmetic; auto is ddp when there are several."""
    tensor_parallel: int | None = None
    """Processes that compute one sequence together (heads, d_ff, vocabulary are shared out); what they hold is sharded
    over the rest. null: 1, and all processes of a machine under strategy=tensor_parallel."""
    replicas: int | None = None
    """Copies of the model under strategy=hsdp, each sharded over its share of the processes; null: one a machine."""
    cpu_offload: bool = False
    """Keep sharded parameters, gradients and optimiser state in main memory; the GPU holds what it computes with."""
    precision: Precision = Precision.auto
    """auto is bf16 (autocast) where the processor computes it natively, else float32."""
    matmul_precision: MatmulPrecision = MatmulPrecision.auto
    """auto measures on the CPU which setting is fast and still exact; high on a GPU."""
    compile: bool | str = "off"
    """off, blocks (each of the model's blocks; true means this), whole (model and loss as one graph; not with sharded
    models), or auto: whole where the time that it gains in this run is more than compiling takes, which is measured."""
    max_grad_norm: float | None = 1.0
    """The gradient is scaled down to this global norm; null leaves it alone."""
    val_every_steps: int = 250
    """Optimiser steps between validations; the end is always validated. 0 validates only there."""
    val_sequences: int | str | None = "auto"
    """Sequences of a validation: a number, all (or null), or auto: about 2 % of the run's time, at least 1 M tokens."""
    test_sequences: int | str | None = "auto"
    """Sequences of the final test: a number, all (or null), or auto, the same rule as for validations."""
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
        for name in ("devices", "num_nodes", "log_every_steps", "num_threads", "tensor_parallel", "replicas"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"trainer.{name}={value} must be at least 1")
        if self.num_threads is not None and self.num_threads > MOST_THREADS:
            raise ConfigError(f"trainer.num_threads={self.num_threads} must be at most {MOST_THREADS}")
        if self.val_every_steps < 0:
            raise ConfigError(f"trainer.val_every_steps={self.val_every_steps} must be 0 (only at the end) or more")
        for name in ("val_sequences", "test_sequences"):
            value = getattr(self, name)
            if value not in (None, ALL, AUTO) and not (isinstance(value, int) and value >= 1):
                near = suggest(value, (ALL, AUTO)) if isinstance(value, str) else ""
                raise ConfigError(f"trainer.{name}={value} must be a number of 1 or more, all, or auto.{near}")
        if self.max_grad_norm is not None and not self.max_grad_norm > 0:
            raise ConfigError(f"trainer.max_grad_norm={self.max_grad_norm} must be above 0, or null for no clipping")
        if self.watchdog_minutes is not None and not self.watchdog_minutes > 0:
            raise ConfigError(f"trainer.watchdog_minutes={self.watchdog_minutes} must be above 0, or null for none")
        check_mode(self.compile)
        self._check_strategy()
        check_lightning_arguments(self.lightning)

    def _check_strategy(self) -> None:
        name = self.strategy.name
        if (self.tensor_parallel or 1) > 1 and not self.strategy.sharded:
            raise ConfigError(
                f"trainer.tensor_parallel={self.tensor_parallel} does not go with trainer.strategy={name}; use "
                "trainer=tensor_parallel"
            )
        if self.replicas is not None and self.strategy is not StrategyName.hsdp:
            raise ConfigError(
                f"trainer.replicas={self.replicas} does not go with trainer.strategy={name}; use trainer=hsdp"
            )
        if self.cpu_offload and not self.strategy.sharded:
            raise ConfigError(f"trainer.cpu_offload does not go with trainer.strategy={name}; use trainer=fsdp")
        if self.precision is Precision.float16 and self.strategy.sharded:
            raise ConfigError(
                f"trainer.precision=float16 does not go with trainer.strategy={name}; use bf16 or float32"
            )

    @property
    def compile_mode(self) -> str:
        """off, blocks, whole or auto."""
        return EARLIER[self.compile] if isinstance(self.compile, bool) else self.compile

    def validations(self, max_steps: int, also_every: int | None = None) -> int:
        """Return how many validations a run of `max_steps` makes, those `also_every` and that at its end included."""
        steps = {max_steps}
        for every in (self.val_every_steps, also_every):
            steps |= set(range(every, max_steps, every)) if every else set()
        return len(steps)

    def hardware(self) -> "Hardware":
        """Look at this machine and return what the run will use; ConfigError names what is missing."""
        accelerator = _resolve_accelerator(self.accelerator, self.strategy)
        if ranks.launched_externally():
            devices = ranks.local_world_size()
            num_nodes = max(self.num_nodes, ranks.world_size() // devices)
        else:
            devices, num_nodes = self.devices or _default_devices(accelerator), self.num_nodes
        _check_device_count(accelerator, devices)
        precision = _resolve_precision(self.precision, accelerator)
        strategy = self.strategy
        if strategy is StrategyName.auto and devices * num_nodes > 1:
            strategy = StrategyName.ddp
        layout = _layout(strategy, devices, num_nodes, self.tensor_parallel, self.replicas)
        check_compilation(self.compile_mode, accelerator.name, strategy.sharded, layout.tensor_parallel)
        return Hardware(accelerator, devices, num_nodes, strategy, precision, layout, self.cpu_offload)

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
        if self.cpu_offload and hardware.accelerator is Accelerator.cpu:
            log.info("trainer.cpu_offload has no effect on a CPU: everything is in main memory already")
        if self.num_threads is not None:
            torch.set_num_threads(self.num_threads)
        set_matmul_precision(self.matmul_precision, hardware.accelerator)
        val_every_micro_steps = self.val_every_steps * accumulate or 2**62
        everything = [StepLoop(max_minutes=max_minutes), OptimizerAverage(), *callbacks]
        if self.compile_mode == "auto":
            everything.insert(0, CompileChoice(max_minutes))
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
            "inference_mode": not hardware.strategy.sharded,
            "use_distributed_sampler": False,
            "plugins": cluster_environment(),
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
    layout: Layout
    cpu_offload: bool

    @property
    def world_size(self) -> int:
        """Processes of the whole run."""
        return self.devices * self.num_nodes

    @property
    def tensor_parallel(self) -> int:
        """Neighbouring processes that compute one sequence together."""
        return self.layout.tensor_parallel

    @property
    def data_parallel_size(self) -> int:
        """Processes, or groups of them, that read different data."""
        return self.world_size // self.tensor_parallel

    def build_strategy(self) -> Strategy:
        """Return Lightning's strategy."""
        if self.strategy.sharded:
            on_gpu = self.accelerator is not Accelerator.cpu
            return FSDP2Strategy(
                self.layout,
                bf16_gathers=self.precision is Precision.bf16,
                cpu_offload=self.cpu_offload and on_gpu,
                fsdp=self.strategy is not StrategyName.tensor_parallel or self.data_parallel_size > 1,
            )
        if self.strategy is StrategyName.ddp:
            backend = "gloo" if self.accelerator is Accelerator.cpu else None
            return CopiesStrategy(process_group_backend=backend, gradient_as_bucket_view=True)
        return OneDeviceStrategy("cuda:0" if self.accelerator is Accelerator.gpu else self.accelerator.name)

    def plain(self) -> dict[str, Any]:
        """Return what decides the digits of a run, as plain values: to run it again, or to explain a difference."""
        return {
            "accelerator": self.accelerator.name,
            "devices": self.devices,
            "num_nodes": self.num_nodes,
            "strategy": self.strategy.name,
            "precision": self.precision.name,
            "threads": torch.get_num_threads(),
        }

    def describe(self) -> str:
        """Return one line, such as `2 x cpu, fsdp, float32`."""
        how = "" if self.strategy is StrategyName.auto else f", {self.strategy.name}"
        if self.layout.replicas > 1:
            how += f" of {self.layout.replicas} copies"
        if self.tensor_parallel > 1:
            how += f" in groups of {self.tensor_parallel}"
        return f"{self.world_size} x {self.accelerator.name}{how}, {self.precision.name}"


def _layout(
    strategy: StrategyName, devices: int, num_nodes: int, tensor_parallel: int | None, replicas: int | None
) -> Layout:
    """Share out the processes; ConfigError when the sizes do not divide their number."""
    world = devices * num_nodes
    if not strategy.sharded:
        return Layout(replicas=world)
    processes = f"the {world} processes (trainer.devices={devices} x trainer.num_nodes={num_nodes})"
    together = tensor_parallel or (devices if strategy is StrategyName.tensor_parallel else 1)
    if world % together:
        allowed = ", ".join(str(n) for n in range(1, world + 1) if world % n == 0)
        raise ConfigError(f"trainer.tensor_parallel={together} does not divide {processes}; choose from {allowed}")
    groups = world // together
    copies = replicas or (num_nodes if strategy is StrategyName.hsdp else 1)
    if groups % copies:
        allowed = ", ".join(str(n) for n in range(1, groups + 1) if groups % n == 0)
        raise ConfigError(f"trainer.replicas={copies} does not divide {processes}; choose from {allowed}")
    return Layout(replicas=copies, shards=groups // copies, tensor_parallel=together)


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
            near = suggest(name, sorted(known))
            instead = next(
                (f" It is decided by another setting; use {_OURS[o]}" for o in _OURS if f"'{o}'" in near), ""
            )
            raise ConfigError(f"lightning.Trainer has no argument '{name}'.{near}{instead}")


def _resolve_accelerator(asked: Accelerator, strategy: StrategyName) -> Accelerator:
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if asked is Accelerator.auto:
        if strategy.sharded and not cuda:
            raise ConfigError(
                f"trainer={strategy.name} needs a GPU; none was found. To try it on CPU: trainer.accelerator=cpu "
                "trainer.devices=2"
            )
        return Accelerator.gpu if cuda else Accelerator.mps if mps else Accelerator.cpu
    if asked is Accelerator.gpu and not cuda:
        why = "none was found" if torch.version.cuda else "this PyTorch is built without CUDA"
        name = f"trainer={strategy.name}" if strategy.sharded else "trainer.accelerator=gpu"
        raise ConfigError(f"{name} needs a GPU; {why}. To try it on CPU: trainer.accelerator=cpu trainer.devices=2")
    if asked is Accelerator.mps and strategy.sharded:
        raise ConfigError(f"trainer={strategy.name} needs GPUs of NVIDIA or AMD; on an Apple GPU use trainer=mps")
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
    if accelerator is Accelerator.cpu and devices > (most := max(_MOST_ON_CPU, os.cpu_count() or 1)):
        raise ConfigError(
            f"trainer.devices={devices} would start as many processes on the CPU of this machine; at most {most}"
        )


_MOST_ON_CPU = 8
"""Processes that a CPU of fewer processors may run, slowly, as tests of parallel training do."""


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
