"""Run folders as a run leaves them, made by hand: whole, running, broken off and damaged ones."""

import json
import os
from pathlib import Path
from typing import Any

CONFIG = """# Run it again
defaults:
- base
- /schema/train@_here_
- /schema/model/{model}@model
- /schema/loss/cross_entropy@loss.cross_entropy
- /schema/callbacks/checkpoints@callbacks.checkpoints
- /schema/callbacks/ema@callbacks.ema
- _self_
model:
  n_layers: {n_layers}
loss:
  cross_entropy:
    weight: 1.0
optimizer:
  lr: {lr}
tags: [a, 'b c']
seed: {seed}
regularizers: {{}}
"""
RESULT = {
    "objective": 2.5, "objective_name": "val/loss", "val/loss": 2.5, "val/bits_per_byte": 1.25, "steps": 300,
    "tokens": 4096, "training_seconds": 90.0, "status": "DONE", "stop_reason": "max_steps",
    "higher_is_better": ["accuracy"],
}  # fmt: skip


def make_run(
    folder: Path,
    *,
    model: str = "transformer",
    lr: str = "0.02",
    n_layers: int = 4,
    seed: int = 1,
    result: dict[str, Any] | None = RESULT,
    metrics: str = "step,tokens,train/loss,val/loss,train/seconds\n10,80,3.5,,5.0\n20,160,3.25,3.0,9.0\n",
    begun: float = 1_700_000_000.0,
) -> Path:
    """Write the files of a run and return its folder; without a result it is one that was broken off."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(CONFIG.format(model=model, lr=lr, n_layers=n_layers, seed=seed))
    (folder / "metrics.csv").write_text(metrics)
    (folder / "log.txt").write_text("2026-01-01 00:00:00,0 INFO model: Transformer, 2,164,928 parameters (1 outside)\n")
    (folder / "checkpoints").mkdir()
    if result is not None:
        (folder / "result.json").write_text(json.dumps(result))
    os.utime(folder / "config.yaml", (begun, begun))
    return folder
