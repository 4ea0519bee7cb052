"""A healthy run as the rules see it, and how to change it."""

from pathlib import Path
from typing import Any

from prospero.runs.doctor.probe import NoiseScale, Probe
from prospero.runs.doctor.record import RunRecord, Stage
from prospero.runs.folder import RunFolder

STEPS = range(10, 210, 10)


def course(value: float, **others: float) -> list[tuple[int, float]]:
    """A number in every row; `at_50=2.0` changes that of step 50."""
    return [(step, others.get(f"at_{step}", value)) for step in STEPS]


def falling(start: float = 5.0, end: float = 2.0) -> list[tuple[int, float]]:
    """A loss that falls evenly, with a little noise that is the same each time."""
    last = len(STEPS) - 1
    return [(step, start + (end - start) * i / last + 0.02 * (-1) ** i) for i, step in enumerate(STEPS)]


def record(**changes: Any) -> RunRecord:
    """A run of 200 steps in which all is well; `series` and `settings` are added to its own."""
    series = {
        "tokens": [(step, step * 1024.0) for step in STEPS],
        "train/loss": falling(),
        "train/loss_max": [(step, value + 0.1) for step, value in falling()],
        "train/lr": course(0.02),
        "train/update_ratio": course(0.02),
        "train/weight_growth": course(1.5),
        "train/data_wait_ratio": course(0.02),
        "train/step_seconds": course(0.1),
        "train/seconds": [(step, step * 0.1) for step in STEPS],
        "val/loss": [(50, 4.5), (100, 3.5), (150, 2.8), (200, 2.2)],
    }
    settings: dict[str, Any] = {
        "loss": {"cross_entropy": {"weight": 1.0}}, "global_batch_size": 16, "seq_len": 64, "max_steps": 200,
        "init_from": None, "train_sequences": None, "data": {"num_workers": 0}, "micro_batch_size": None,
        "optimizer": {"lr": 0.02}, "model": {"activation": "swiglu"},
    }  # fmt: skip
    parts = {"data": "stdlib", "packing": "concat", "optimizer": "muon", "adapter": "none"}
    values: dict[str, Any] = {
        "folder": RunFolder(Path("run")),
        "stage": Stage.ended,
        "receipt": {"splits": {"train": {"tokens": 10**6}}},
        **changes,
        "settings": settings | changes.get("settings", {}),
        "series": {k: v for k, v in (series | changes.get("series", {})).items() if v},
        "parts": parts | changes.get("parts", {}),
    }
    return RunRecord(**values)


def probe(**changes: Any) -> Probe:
    """A model in which all works."""
    values: dict[str, Any] = {
        "checkpoint": "step_00000200",
        "sequences": 64,
        "noise": NoiseScale(signal=1.0, noise=100.0, sequences=64),
        "curvature": 1.0,
        "dormant": {"block.0.feed_forward.hidden": 0.01},
        "heads": 4,
        "padding": 0.0,
    }
    return Probe(**{**values, **changes})
