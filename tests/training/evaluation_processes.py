"""Measures a task inside training under several strategies in the same processes; started as by torchrun.

    torchrun --nproc-per-node N evaluation_processes.py FOLDER CASE...

Each rank writes FOLDER/CASE_RANK.json: what it published, the items that it was asked for, where it stopped.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch

from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.evaluation.monitor import Monitor
from prospero.model.transformer import TransformerConfig
from prospero.objective.losses.cross_entropy import CrossEntropyConfig
from prospero.objective.objective import Objective
from prospero.optim.adamw import AdamWConfig
from prospero.runs.metrics import metric_series
from prospero.training.callbacks.early_stopping import EarlyStopping
from prospero.training.callbacks.ema import EMA, EMAConfig
from prospero.training.callbacks.evaluation import EvaluationConfig
from prospero.training.loggers.metrics_file import MetricsFile
from prospero.training.module import TrainingModule
from prospero.training.optimization import Optimization
from prospero.training.run_facts import RunFacts
from prospero.training.trainer import StrategyName
from tests.training.number_task import NextNumber
from tests.training.tiny import SEQ_LEN, VOCAB, Fall, TinyData, tiny_metrics, tiny_trainer

ITEMS = 7
CASES: dict[str, dict[str, Any]] = {
    "one": {"devices": 1},
    "ddp": {"devices": 2, "strategy": StrategyName.ddp},
    "fsdp": {"devices": 2, "strategy": StrategyName.fsdp},
    "tensor_parallel": {"devices": 2, "strategy": StrategyName.tensor_parallel},
}
"""Case -> settings of the trainer; `+still` behind a name has a learning rate of 0, so that weights are the same."""


def train(folder: Path, case: str) -> dict[str, Any]:
    name, _, extra = case.partition("+")
    settings = CASES[name]
    torch.manual_seed(5)
    how = Optimization(
        optimizer=AdamWConfig(lr=0.0 if extra == "still" else 0.02), schedule=Fall(), total_steps=9, seed=3
    )
    model = TransformerConfig(n_layers=2, d_model=16, n_heads=4).build(VOCAB, SEQ_LEN)
    objective = Objective({"cross_entropy": CrossEntropyConfig().build()}, {})
    module, task, run_dir = TrainingModule(model, objective, tiny_metrics(), how), NextNumber(ITEMS), folder / case
    tokenizer = ByteTokenizerConfig().build(lambda: iter(()))
    facts = RunFacts(run_dir=run_dir, tokenizer=tokenizer, tasks=[task])
    stopping = EarlyStopping(1, 100.0, Monitor("val/next_number/nats"))
    trainer = tiny_trainer(
        run_dir,
        max_steps=9,
        val_every_steps=2,
        loggers=[MetricsFile(run_dir)],
        callbacks=[EvaluationConfig(every_steps=3, rows=1).build(facts), EMA(EMAConfig(decay=0.5)), stopping],
        **settings,
    )
    ranks = 1 if name == "tensor_parallel" else settings["devices"]
    trainer.fit(module, datamodule=TinyData(4, 4 // ranks))
    return {
        "series": metric_series(run_dir / "metrics.csv") if trainer.is_global_zero else {},
        "numbers": {key: value for key, value in module.state.metrics.items() if key.startswith("val/next_number/")},
        "asked": task.asked,
        "step": trainer.global_step,
        "rank": trainer.global_rank,
    }


def main(folder: str, *cases: str) -> None:
    torch.set_num_threads(1)
    for case in cases:
        found = train(Path(folder), case)
        (Path(folder) / f"{case}_{found['rank']}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
