"""Run folders for the board, written by hand: of every state, damaged in every way, with names of every kind."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CONFIG = """# Run it again: python train.py --config-dir <this folder> --config-name config run_dir=<a new folder>
defaults:
- base
- /schema/model/{model}@model
- _self_
model:
  d_model: {d_model}
optimizer:
  lr: {lr}
logger: {{}}
monitor: val/loss
seed: {seed}
"""
HOSTILE = """<img src=x onerror="document.title='owned'"> & 'quotes' "too" ${x}"""
NOT_UTF8 = os.fsdecode(b"run \xff\xfe \xe9")


def config(*, model: str = "transformer", d_model: int = 64, lr: float = 0.01, seed: int = 1) -> str:
    return CONFIG.format(model=model, d_model=d_model, lr=lr, seed=seed)


def csv_of(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ("step", "tokens", "train/loss")) -> str:
    lines = [",".join(columns), *(",".join(str(row.get(name, "")) for name in columns) for row in rows)]
    return "\n".join(lines) + "\n"


def rows(count: int, loss: float = 4.0) -> list[dict[str, Any]]:
    """Steps 10, 20, ... with 1000 tokens each; the loss falls by 0.1 a row."""
    return [
        {"step": 10 * (n + 1), "tokens": 1000 * (n + 1), "train/loss": round(loss - n / 10, 6)} for n in range(count)
    ]


def make_run(
    root: Path,
    name: str,
    *,
    settings: str | None = None,
    metrics: str | None = None,
    result: Mapping[str, Any] | None = None,
    begun: int = 1_700_000_000,
) -> Path:
    """Write a run below `root`; `name` is its path there. `result=None` leaves it without one."""
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(config() if settings is None else settings)
    (folder / "metrics.csv").write_text(csv_of(rows(5)) if metrics is None else metrics)
    (folder / "log.txt").write_text("2026-01-01 00:00:00,000 INFO it has begun\n")
    os.utime(folder / "config.yaml", (begun, begun))
    if result is not None:
        (folder / "result.json").write_text(json.dumps(result))
    return folder


def finished(loss: float = 3.0, **more: Any) -> dict[str, Any]:
    """What a run writes at its end."""
    own = {"objective": loss, "objective_name": "val/loss", "val/loss": loss, "status": "DONE", "tokens": 5000}
    return own | {"flops_per_token": 10, "stop_reason": "max_steps"} | more


def make_sweep(root: Path, name: str, jobs: Sequence[Mapping[str, str]], status: str = "DONE") -> Path:
    """Write sweep.json for `jobs` (setting -> value); the folders of its runs are not made."""
    folder = root / "sweeps" / name
    folder.mkdir(parents=True)
    entries = [
        {"number": number, "overrides": [f"{key}={value}" for key, value in job.items()], "exit_code": 0}
        | {"seconds": 1.0, "status": status}
        for number, job in enumerate(jobs)
    ]
    (folder / "sweep.json").write_text(json.dumps({"format": 1, "state": "finished", "jobs": entries}))
    return folder


def damaged_runs(root: Path) -> dict[str, Path]:
    """Write a run folder for each way to be damaged."""
    found = {name: make_run(root, f"train/{name}", result=finished()) for name in DAMAGES}
    for name, folder in found.items():
        DAMAGES[name](folder)
    return found


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = {
    "no_config": lambda folder: (folder / "config.yaml").unlink(),
    "empty_config": lambda folder: (folder / "config.yaml").write_bytes(b""),
    "torn_config": lambda folder: (folder / "config.yaml").write_text("model:\n  d_model: [1, 2"),
    "binary_config": lambda folder: (folder / "config.yaml").write_bytes(bytes(range(256))),
    "list_config": lambda folder: (folder / "config.yaml").write_text("- a\n- b\n"),
    "deep_config": lambda folder: (folder / "config.yaml").write_text("a: " + "[" * 3000),
    "pipe_config": lambda folder: _pipe(folder / "config.yaml"),
    "folder_config": lambda folder: _folder(folder / "config.yaml"),
    "torn_result": lambda folder: (folder / "result.json").write_text('{"objective": 1'),
    "deep_result": lambda folder: (folder / "result.json").write_text("[" * 100_000),
    "list_result": lambda folder: (folder / "result.json").write_text("[1]"),
    "headless_metrics": lambda folder: (folder / "metrics.csv").write_text("1,2,3\n4,5,6\n"),
    "binary_metrics": lambda folder: (folder / "metrics.csv").write_bytes(b"\0\xff" * 999 + b"\n" + b"\0"),
    "wordy_metrics": lambda folder: (folder / "metrics.csv").write_text("step,train/loss\nnow,much\n"),
}
"""Way to be damaged -> what does it to a folder."""
