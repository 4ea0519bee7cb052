"""What must hold on a GPU, each check a run of `train.py` that is compared with the losses of one CPU process.

Every run is a process of its own with its own run folder, as a user would start it. All of them train the same small
Transformer, on the same batches, for STEPS steps of AdamW, in float32 without TF32 unless a check says otherwise.
"""

import csv
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STEPS = 20
BASE = {
    "data": "stdlib_docs", "tokenizer": "byte", "model": "tiny", "seq_len": "128", "global_batch_size": "8",
    "optimizer": "adamw", "optimizer.lr": "1e-3", "schedule": "constant", "max_steps": str(STEPS),
    "callbacks": "[checkpoints]",
    "trainer.precision": "float32", "trainer.matmul_precision": "highest", "trainer.log_every_steps": "1",
    "trainer.val_every_steps": "0", "trainer.val_sequences": "8", "trainer.test_sequences": "8", "trainer.devices": "1",
}  # fmt: skip
"""The run of which every check is a variation."""
EXACT, COMPILED, NARROW = 1e-5, 1e-4, 2e-2
"""Largest relative difference of a loss: float32; float32 whose kernels a compiler fused; bf16, with 8 bits."""


@dataclass(frozen=True, slots=True)
class Check:
    """A way of training that must lead to the losses of one CPU process."""

    name: str
    changes: dict[str, str] = field(default_factory=dict)
    """Settings that differ from BASE."""
    tolerance: float = EXACT
    least_devices: int = 1
    all_devices: bool = False
    """Whether it runs on as many devices as divide the batch, else on one."""
    interrupted: bool = False
    """Whether it stops half-way and is resumed."""


CHECKS = [
    Check("float32"),
    Check("bf16", {"trainer.precision": "bf16"}, NARROW),
    Check("compile", {"trainer.compile": "blocks"}, COMPILED),
    Check("compile_whole", {"trainer.compile": "whole"}, COMPILED),
    Check("activation_checkpointing", {"model.activation_checkpointing": "true"}),
    Check("resume", interrupted=True),
    Check("ddp", {"trainer.strategy": "ddp"}, least_devices=2, all_devices=True),
    Check("fsdp", {"trainer.strategy": "fsdp"}, all_devices=True),
    Check("fsdp_compile", {"trainer.strategy": "fsdp", "trainer.compile": "blocks"}, COMPILED, all_devices=True),
    Check("hsdp", {"trainer.strategy": "hsdp", "trainer.replicas": "2"}, least_devices=2, all_devices=True),
    Check(
        "tensor_parallel",
        {"trainer.strategy": "tensor_parallel", "trainer.tensor_parallel": "2"},
        least_devices=2,
        all_devices=True,
    ),
    Check("cpu_offload", {"trainer.strategy": "fsdp", "trainer.cpu_offload": "true"}),
]


@dataclass(slots=True)
class Outcome:
    """What came of a check."""

    name: str
    verdict: str
    """ok, FAILED, or left out."""
    difference: float | None
    """Largest relative difference of a loss from the CPU's; None where there is none."""
    detail: str

    def line(self) -> str:
        """Return a row for people."""
        number = "" if self.difference is None else f"{self.difference:.1e}"
        return f"{self.name:26} {self.verdict:9} {number:>8}  {self.detail}"


def devices_for(check: Check, available: int) -> int:
    """Return the devices a check runs on: 1, or the largest power of two that is there and divides the batch."""
    if not check.all_devices:
        return 1
    most = min(available, int(BASE["global_batch_size"]))
    return 1 << (most.bit_length() - 1)


def train(folder: Path, changes: dict[str, str]) -> list[float]:
    """Run `train.py` in a process of its own; return the training loss of every step that its folder holds.

    Raises RuntimeError with the end of its log when it fails.
    """
    settings = BASE | changes | {"run_dir": str(folder), "outputs_dir": str(folder.parent)}
    command = [sys.executable, "train.py", *(f"{name}={value}" for name, value in settings.items())]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise RuntimeError(f"exit code {done.returncode}: {' | '.join(lines[-3:])}")
    with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
        return [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]


def accelerator(device: str) -> dict[str, str]:
    """Return the setting that chooses `device`, cuda or cpu."""
    return {"trainer.accelerator": {"cuda": "gpu"}.get(device, device)}


def reference(folder: Path) -> list[float]:
    """Return the losses of one CPU process in float32, with exact products."""
    return train(folder / "cpu_reference", accelerator("cpu"))


def perform(
    check: Check,
    folder: Path,
    expected: list[float],
    device: str,
    available: int,
    train: Callable[[Path, dict[str, str]], list[float]] = train,
) -> Outcome:
    """Run one check on `device`, of which `available` are there, and compare its losses with `expected`."""
    if available < check.least_devices:
        return Outcome(check.name, "left out", None, f"needs {check.least_devices} devices; {available} here")
    devices = devices_for(check, available)
    changes = accelerator(device) | {"trainer.devices": str(devices)} | check.changes
    place = folder / check.name
    try:
        if check.interrupted:
            train(place, changes | {"max_steps": str(STEPS // 2)})
            changes |= {"resume": "auto"}
        losses = train(place, changes)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        return Outcome(check.name, "FAILED", None, str(error))
    if len(losses) != len(expected):
        return Outcome(check.name, "FAILED", None, f"{len(losses)} losses instead of {len(expected)}")
    worst = largest_difference(losses, expected)
    verdict = "ok" if worst <= check.tolerance else "FAILED"
    return Outcome(check.name, verdict, worst, f"at most {check.tolerance:g}, on {devices} x {device}")


def largest_difference(losses: list[float], expected: list[float]) -> float:
    """Return the largest relative difference, infinite where a loss is not a number."""
    differences = [abs(a - b) / abs(b) for a, b in zip(losses, expected, strict=True)]
    return max(float("inf") if d != d else d for d in differences)
