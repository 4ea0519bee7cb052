"""Trains one small Transformer under several strategies in the same processes; started by test_parity as by torchrun.

    torchrun --nproc-per-node N parity_processes.py FOLDER CASE...

Rank 0 writes FOLDER/CASE.pt: the losses of all steps, the validations, the weights, their average, what a rank holds;
for the case `spreads`, what spread_model measures.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from prospero.model.adapters.lora import LoRAConfig
from prospero.model.transformer import TransformerConfig
from prospero.objective.losses.base import Loss
from prospero.objective.losses.cross_entropy import CrossEntropyConfig
from prospero.objective.losses.distill import DistillConfig
from prospero.objective.objective import Objective
from prospero.objective.regularizers.l2 import L2Config
from prospero.objective.regularizers.z_loss import ZLossConfig
from prospero.optim.adamw import AdamWConfig
from prospero.optim.muon import MuonConfig
from prospero.optim.sharded import local
from prospero.runs.metrics import metric_series
from prospero.training.callbacks.early_stopping import EarlyStopping
from prospero.training.callbacks.ema import EMA, EMAConfig
from prospero.training.distillation.frozen import FrozenTeacher
from prospero.training.distillation.teaching import Teaching
from prospero.training.loggers.metrics_file import MetricsFile
from prospero.training.module import TrainingModule
from prospero.training.optimization import Optimization
from prospero.training.trainer import Precision, StrategyName
from tests.training.spread_model import SPREADS, train_spread, whole
from tests.training.tiny import SEQ_LEN, VOCAB, Fall, TinyData, tiny_metrics, tiny_trainer

STEPS, BATCH = 20, 16
MODEL = TransformerConfig(n_layers=2, d_model=16, n_heads=4, n_kv_heads=2, d_ff=64, tie_embeddings=True, qk_norm=True)
CASES: dict[str, dict[str, Any]] = {
    "one": {"devices": 1},
    "ddp": {"devices": 2, "strategy": StrategyName.ddp},
    "fsdp": {"devices": 2, "strategy": StrategyName.fsdp},
    "bf16": {"devices": 2, "strategy": StrategyName.fsdp, "precision": Precision.bf16},
    "tensor_parallel": {"devices": 2, "strategy": StrategyName.tensor_parallel},
    "hsdp": {"devices": 4, "strategy": StrategyName.hsdp, "replicas": 2},
    "both": {"devices": 4, "strategy": StrategyName.tensor_parallel, "tensor_parallel": 2},
}
"""Case -> settings of the trainer.

`+everything` behind a name adds clipping, accumulation, regularisers and EMA to AdamW; `+muon` is the default optimiser
with clipping and regularisers; `+lora` trains an adapter alone, `+distill` learns from a teacher too, `+stopping` adds
early stopping.
"""


def train(folder: Path, case: str) -> dict[str, Any]:
    name, _, extra = case.partition("+")
    everything = extra == "everything"
    settings = CASES[name]
    torch.manual_seed(5)
    regularised = extra in ("everything", "muon")
    terms = {"l2": L2Config(weight=0.01).build(), "z_loss": ZLossConfig(weight=0.01).build()} if regularised else {}
    how = Optimization(
        optimizer=MuonConfig() if extra == "muon" else AdamWConfig(lr=0.01),
        schedule=Fall(),
        total_steps=STEPS,
        max_grad_norm=0.3 if regularised else None,
        seed=3,
    )
    losses: dict[str, Loss] = {"cross_entropy": CrossEntropyConfig().build()}
    if extra == "distill":
        losses["distill"] = DistillConfig(temperature=2.0, chunk_tokens=7).build()
        teacher = FrozenTeacher(replace(MODEL, init_std=0.5).build(VOCAB, SEQ_LEN), VOCAB)
        Teaching(loaded=teacher).teach(losses.values(), torch.float32, VOCAB)
    objective = Objective(losses, terms)
    model = MODEL.build(VOCAB, SEQ_LEN)
    if extra == "lora":
        LoRAConfig(rank=3).build().apply(model)
    start = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    module = TrainingModule(model, objective, tiny_metrics(), how)
    ranks = settings["devices"] // settings.get("tensor_parallel", 2 if name == "tensor_parallel" else 1)
    accumulate = 4 if everything else 1
    ema = EMA(EMAConfig(decay=0.9, start_step=2))
    never_better = EarlyStopping(patience=1, min_delta=100.0)
    run_dir = folder / f"{case}_run"
    trainer = tiny_trainer(
        run_dir,
        max_steps=STEPS,
        accumulate=accumulate,
        val_every_steps=8,
        loggers=[MetricsFile(run_dir)],
        callbacks=[ema] if everything else [never_better] if extra == "stopping" else [],
        **settings,
    )
    trainer.fit(module, datamodule=TinyData(BATCH, BATCH // ranks // accumulate))
    parameters = dict(module.model.named_parameters())
    return {
        "metrics": metric_series(run_dir / "metrics.csv") if trainer.is_global_zero else {},
        "start": start,
        "weights": {key: whole(p) for key, p in parameters.items()},
        "average": {key: whole(p) for key, p in ema.weights.items()},
        "dtypes": sorted({str(p.dtype) for p in parameters.values()}),
        "held": sum(local(p).numel() for p in parameters.values()),
        "bytes": sum(local(p).untyped_storage().nbytes() for p in parameters.values()),
    }


def main(folder: str, *cases: str) -> None:
    torch.set_num_threads(1)
    for case in cases:
        rank = int(os.environ.get("RANK", "0"))
        if case == "spreads":
            result = {name: train_spread(spread, rank, alone=False) for name, spread in SPREADS.items()}
        else:
            result = train(Path(folder), case)
        if rank == 0:
            torch.save(result, Path(folder) / f"{case}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
