"""Trains TinyModel on one process, or several times on the same two, and writes what came out; run by test_strategies.

two_processes.py JOBS      (a file: a list of the arguments of `train`)
"""

import json
import sys
from pathlib import Path

import torch

from prospero.objective.regularizers.l2 import L2Config
from prospero.objective.regularizers.l2_sp import L2SPConfig
from prospero.runs.folder import RunFolder
from prospero.training.callbacks.checkpoints import Checkpoints, CheckpointsConfig
from prospero.training.loggers.metrics_file import MetricsFile
from prospero.training.trainer import StrategyName
from tests.training.tiny import TinyData, tiny_module, tiny_trainer
from tests.training.whole_weights import whole_weights


def train(out: str, strategy: str, micro_batch_size: int, dropout: float = 0.0, resume: str = "") -> Path:
    """Train six steps into the folder `out`; the first process writes weights and facts, of all it holds."""
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    regularizers = {"l2": L2Config(weight=0.01).build(), "l2_sp": L2SPConfig(weight=0.1).build()}
    module = tiny_module(dropout=dropout, max_grad_norm=0.3, regularizers=regularizers)
    one = strategy == "one"
    world = 1 if one else 2
    trainer = tiny_trainer(
        folder,
        max_steps=6,
        val_every_steps=3,
        accumulate=4 // (micro_batch_size * world),
        loggers=[MetricsFile(folder)],
        callbacks=[Checkpoints(CheckpointsConfig(every_steps=2, keep_last=9, gradients=True), RunFolder(folder))],
        devices=world,
        strategy=StrategyName.auto if one else StrategyName[strategy],
    )
    trainer.fit(module, datamodule=TinyData(4, micro_batch_size), ckpt_path=resume or None)
    held = sum((p.to_local() if hasattr(p, "to_local") else p).numel() for p in module.model.parameters())
    state = whole_weights(module.model)
    if trainer.is_global_zero:
        torch.save(state, folder / "weights.pt")
        facts = {"held": held, "stop_reason": module.state.stop_reason, "metrics": module.state.metrics}
        (folder / "facts.json").write_text(json.dumps(facts))
    return folder


if __name__ == "__main__":
    torch.set_num_threads(1)
    for job in json.loads(Path(sys.argv[1]).read_text()):
        train(**job)
