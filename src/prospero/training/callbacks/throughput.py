"""How fast training is: tokens a second, share of the processor's peak, share of time spent waiting for data."""

import time
from dataclasses import dataclass
from typing import Any

import lightning as L
import torch

from prospero.training.callbacks.base import StepCallback
from prospero.training.module import TrainingModule, training_module
from prospero.training.run_facts import RunFacts

_PEAK_FLOPS = {  # dense products, bf16 (or fp16 where there is no bf16) and TF32 / float32; makers' data sheets
    "B200": (2250e12, 1100e12),
    "H200": (989e12, 494e12),
    "H100 PCIe": (756e12, 378e12),
    "H100": (989e12, 494e12),
    "GH200": (989e12, 494e12),
    "A100": (312e12, 156e12),
    "A10G": (70e12, 35e12),
    "L40S": (362e12, 183e12),
    "L4": (121e12, 60e12),
    "V100": (125e12, 15.7e12),
    "T4": (65e12, 8.1e12),
    "RTX 4090": (165e12, 82.6e12),
    "RTX 3090": (71e12, 35.6e12),
}


@dataclass(kw_only=True, slots=True)
class ThroughputConfig:
    """Speed of training, in every row of metrics."""

    peak_flops: float | None = None
    """Peak floating-point operations a second of one device; null looks GPUs up and measures CPUs."""

    def build(self, run: RunFacts) -> "Throughput":
        """Return the callback."""
        return Throughput(run, self.peak_flops)


class Throughput(StepCallback):
    """Adds train/tokens_per_second, train/mfu, train/data_wait_ratio, train/step_seconds and memory to each row.

    Validation, saving and sampling are left out of the time. MFU is absent when FLOPs or the peak are unknown.
    """

    def __init__(self, run: RunFacts, peak_flops: float | None = None) -> None:
        self.run = run
        self.peak_flops = peak_flops
        self._module: TrainingModule | None = None
        self._waited = 0.0
        self._batch_end = 0.0
        self._pause_at_batch_end = 0.0
        self._window = (0.0, 0, 0)

    @property
    def module(self) -> TrainingModule:
        """The module that is measured."""
        assert self._module is not None, "training has begun"
        return self._module

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Find the peak, then begin to measure."""
        self._module = training_module(pl_module)
        if self.peak_flops is None and self.run.flops_per_token > 0:
            self.peak_flops = peak_flops_of(pl_module.device, self.run.precision)
        self._waited = 0.0
        self._batch_end, self._pause_at_batch_end = time.perf_counter(), self.module.state.paused_seconds
        self._window = self._now()

    def _now(self) -> tuple[float, int, int]:
        """Seconds of training without pauses, tokens, steps."""
        state = self.module.state
        return time.perf_counter() - state.paused_seconds, state.tokens, self.module.step

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Count the time since the last batch as waiting, except for pauses."""
        paused = self.module.state.paused_seconds - self._pause_at_batch_end
        self._waited += time.perf_counter() - self._batch_end - paused

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Start to wait."""
        self._batch_end, self._pause_at_batch_end = time.perf_counter(), self.module.state.paused_seconds

    def step_metrics(self) -> dict[str, float]:
        """Return the speeds since the last row."""
        before, now = self._window, self._now()
        seconds, tokens, steps = (b - a for a, b in zip(before, now))
        waited, self._waited, self._window = self._waited, 0.0, now
        if seconds <= 0 or steps <= 0:
            return {}
        metrics = {
            "train/tokens_per_second": tokens / seconds,
            "train/step_seconds": seconds / steps,
            "train/data_wait_ratio": max(0.0, waited / seconds),
            "train/seconds": self.module.state.seconds - self.module.state.paused_seconds,
            "train/memory_bytes": float(_memory_bytes(self.module.device)),
        }
        if self.peak_flops:
            flops = self.run.flops_per_token * metrics["train/tokens_per_second"]
            metrics["train/mfu"] = flops / (self.peak_flops * self.module.trainer.world_size)
        return metrics

    def result(self) -> dict[str, Any]:
        """Return what a token's training takes, by which runs of different models are compared."""
        return {"flops_per_token": self.run.flops_per_token} if self.run.flops_per_token else {}


def peak_flops_of(device: torch.device, precision: str) -> float | None:
    """Return the peak of one `device`: from the makers' table for GPUs, measured on CPUs, else None."""
    if device.type == "cpu":
        return measure_peak_flops(torch.float32 if precision == "float32" else torch.bfloat16)
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    for part, (half, single) in _PEAK_FLOPS.items():
        if part in name:
            return single if precision == "float32" else half
    return None


def measure_peak_flops(dtype: torch.dtype, *, size: int = 1024, repeats: int = 8) -> float:
    """Return the best rate of `repeats` square products of `size` on the CPU, in operations a second (about 0.1 s)."""
    left, right = torch.ones(size, size, dtype=dtype), torch.ones(size, size, dtype=dtype)
    best = float("inf")
    with torch.no_grad():
        for _ in range(repeats):
            start = time.perf_counter()
            torch.mm(left, right)
            best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def _memory_bytes(device: torch.device) -> int:
    """Peak memory of the GPU, or resident memory of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import psutil

    return psutil.Process().memory_info().rss
