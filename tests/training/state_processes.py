"""Trains a model with each optimiser of odd state under several strategies, handing checkpoints on; see test_state.

torchrun --nproc-per-node 2 state_processes.py FOLDER
"""

import sys
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from prospero.checkpoints.run_checkpoints import OUR_KEY
from prospero.errors import ConfigError
from prospero.model.transformer import TransformerConfig
from prospero.optim.adafactor import AdafactorConfig
from prospero.optim.evaluation_weights import HasEvaluationWeights
from prospero.optim.schedule_free import ScheduleFreeConfig
from prospero.optim.sharded import local, local_grad
from prospero.optim.soap import SOAPConfig
from prospero.training.layout import Layout
from prospero.training.strategies import CopiesStrategy, FSDP2Strategy, OneDeviceStrategy
from tests.training.spread_model import whole

OPTIMIZERS = {
    "adafactor": AdafactorConfig(weight_decay=0.1),
    "soap": SOAPConfig(lr=1e-3, refresh_steps=2),
    "schedule_free": ScheduleFreeConfig(lr=0.01, warmup_steps=3),
}
VOCAB, LENGTH, BATCH = 13, 8, 4
STRATEGIES = {
    "one": lambda: OneDeviceStrategy(device=torch.device("cpu")),
    "ddp": CopiesStrategy,
    "fsdp": lambda: FSDP2Strategy(Layout(shards=2)),
}


class Module(L.LightningModule):
    """A small Transformer with square and oblong matrices on the same batches whatever the number of processes."""

    def __init__(self, optimizer: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        config = TransformerConfig(n_layers=1, d_model=16, n_heads=2, d_ff=24, zero_init_outputs=False, init_std=0.2)
        self.model, self.optimizer = config.build(VOCAB, LENGTH), optimizer

    def configure_model(self) -> None:
        if isinstance(self.trainer.strategy, FSDP2Strategy):
            self.trainer.strategy.parallelize(self.model)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer.build(self.model)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[OUR_KEY] = {}

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        ids = torch.randint(VOCAB, (BATCH, LENGTH + 1), generator=torch.Generator().manual_seed(int(batch[0])))
        size = BATCH // self.trainer.world_size
        mine = ids[self.global_rank * size : (self.global_rank + 1) * size]
        logits = self.model(mine[:, :-1]).logits
        return nn.functional.cross_entropy(logits.flatten(0, 1), mine[:, 1:].flatten())


def train(folder: Path, optimizer: Any, strategy: str, steps: int, resume: Path | None = None) -> dict[str, Tensor]:
    """Train to step `steps`, save to `folder`, and return the weights and, as `eval.NAME`, the weights to measure."""
    module = Module(optimizer)
    trainer = L.Trainer(
        accelerator="cpu",
        devices=1 if strategy == "one" else 2,
        strategy=STRATEGIES[strategy](),
        max_steps=steps,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=folder.parent,
    )
    first = 0 if resume is None else int(resume.name.rpartition("_")[2])
    trainer.fit(module, DataLoader(range(first, 100)), ckpt_path=resume)  # type: ignore[arg-type]
    trainer.save_checkpoint(folder)
    named = dict(module.model.named_parameters())
    inner = trainer.optimizers[0]
    weights = {name: whole(p) for name, p in named.items()}
    if isinstance(inner, HasEvaluationWeights):
        found = inner.evaluation_weights()
        weights |= {f"eval.{name}": whole(found[p]) for name, p in named.items()}
    return weights


class OwnPart(torch.optim.Optimizer):
    """Keeps plain state of what this process holds, as many an optimiser written for one process does."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, {"lr": 0.1})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        loss = closure()
        for p in self.param_groups[0]["params"]:
            self.state[p]["seen"] = local_grad(p).square().mean(-1)
            local(p).add_(local_grad(p), alpha=-0.1)
        return loss


class OwnPartConfig:
    def build(self, model: nn.Module) -> OwnPart:
        return OwnPart(model.parameters())


class ParameterShape(OwnPart):
    """Keeps plain state of the whole parameter's shape."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        loss = closure()
        for p in self.param_groups[0]["params"]:
            self.state[p]["average"] = torch.zeros(p.shape)
        return loss


class ParameterShapeConfig:
    def build(self, model: nn.Module) -> ParameterShape:
        return ParameterShape(model.parameters())


def main(folder: Path) -> None:
    """Go from fsdp to ddp, and from one process (checkpoints made before) to fsdp; and try to save what cannot be."""
    torch.set_num_threads(1)
    results: dict[str, Any] = {}
    for name, config in OPTIMIZERS.items():
        train(folder / f"{name}_fsdp_2", config, "fsdp", 2)
        train(folder / f"{name}_ddp_4", config, "ddp", 4, folder / f"{name}_fsdp_2")
        results[name] = train(folder / f"{name}_fsdp_4", config, "fsdp", 4, folder / f"{name}_one_2")
    for kind in (OwnPartConfig, ParameterShapeConfig):
        try:
            train(folder / "refused", kind(), "fsdp", 1)
        except ConfigError as error:
            results[kind.__name__] = str(error)
    if torch.distributed.get_rank() == 0:
        torch.save(results, folder / "results.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
