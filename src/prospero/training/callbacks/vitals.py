"""The vital signs of a run, for the doctor: how far a step moves the weights, the worst loss, the noise.

Nothing here waits for the device in a step that is not logged, and nothing is communicated: each process looks at what
it holds, and the first one's numbers are written.
"""

from dataclasses import dataclass
from statistics import median
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from prospero.errors import ConfigError
from prospero.optim.sharded import local, local_grad
from prospero.training.callbacks.base import StepCallback
from prospero.training.module import TrainingModule, training_module
from prospero.training.run_facts import RunFacts

ENTRIES = 65_536
"""Of each no more than its first so many entries are copied."""


@dataclass(kw_only=True, slots=True)
class VitalsConfig:
    """What `prospero doctor` reads of a run, in every row of metrics."""

    matrices: int = 16
    """Weight matrices that are watched, evenly spread over the model; no more than 65,536 entries of each."""

    def __post_init__(self) -> None:
        if self.matrices < 1:
            raise ConfigError(f"callbacks.vitals.matrices={self.matrices} watches none; give 1 or more")

    def build(self, run: RunFacts) -> "Vitals":
        """Return the callback."""
        return Vitals(self.matrices)


class Vitals(StepCallback):
    """Adds to each row of metrics what tells a healthy run from a sick one.

    train/update_ratio: root mean square of the step's change over that of the weights, the median of the matrices.
    train/weight_growth: root mean square of the weights over that at the start of training, the median as well.
    train/loss_max: the largest loss of a step since the last row. train/micro_grad_norm: the gradient norm of the
    step's first micro-batch alone, where one process has several, for the noise scale (McCandlish et al. 2018,
    arXiv:1812.06162, appendix A.1).
    Matrices that begin as zeros are left out of the first two: at first they consist of their own updates.
    """

    def __init__(self, matrices: int) -> None:
        self.matrices = matrices
        self._watched: dict[str, nn.Parameter] = {}
        self._at_start: dict[str, float] = {}
        self._before: list[Tensor] | None = None
        self._micro_grad_norm: Tensor | None = None
        self._seen_step = 0
        self._losses: list[float] = []
        self._module: TrainingModule | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Choose the matrices."""
        self._module = module = training_module(pl_module)
        watched = watched_matrices(module.model, self.matrices)
        names = {id(p): name for name, p in module.model.named_parameters()}
        sizes = {names[id(p)]: size for p, size in zip(watched, _rms([_part(p) for p in watched]))}
        if self._at_start.keys() != sizes.keys():  # else a run goes on: its weights have grown since it began
            self._at_start = sizes
        self._watched = {names[id(p)]: p for p in watched if self._at_start[names[id(p)]] > 0}
        self._before = self._micro_grad_norm = None
        self._seen_step = module.step

    def state_dict(self) -> dict[str, Any]:
        """Return the sizes of the weights at the start, and the losses that no row has taken yet."""
        if self._module is not None:
            self._take_losses(self._module)
        return {"at_start": dict(self._at_start), "losses": list(self._losses)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where the checkpoint stood."""
        self._at_start = {str(name): float(size) for name, size in state_dict["at_start"].items()}
        self._losses = [float(loss) for loss in state_dict["losses"]]

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the gradient norm of a step's first micro-batch, in the steps that are logged."""
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        module, accumulate = training_module(pl_module), trainer.accumulate_grad_batches
        first = accumulate > 1 and batch_idx % accumulate == 0 and module.logs_step(module.step + 1)
        if first and trainer.world_size == 1 and trainer.precision != "16-mixed":  # whose gradients are scaled
            grads = [local_grad(p) for p in module.model.parameters() if p.grad is not None]
            self._micro_grad_norm = torch.stack([grad.norm() for grad in grads]).float().norm() * accumulate

    def on_before_optimizer_step(
        self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Remember the weights before a step that is logged."""
        module = training_module(pl_module)
        if module.logs_step(module.step + 1):
            self._before = [_part(p).clone() for p in self._watched.values()]

    def on_step_end(self, trainer: L.Trainer, module: TrainingModule) -> None:
        """Take the numbers of the steps that have been read since the last call."""
        self._take_losses(module)

    def _take_losses(self, module: TrainingModule) -> None:
        for record in module.watch.guard.records:
            if record.step > self._seen_step:
                self._losses.append(record.loss)
                self._seen_step = record.step

    def step_metrics(self) -> dict[str, float]:
        """Return the vital signs since the last row."""
        assert self._module is not None, "training has begun"
        self._take_losses(self._module)
        metrics: dict[str, float] = {}
        if self._losses:
            metrics["train/loss_max"] = max(self._losses)
        if self._before:
            now = [_part(p) for p in self._watched.values()]
            moved, sizes = _rms([a - b for a, b in zip(now, self._before)]), _rms(now)
            metrics["train/update_ratio"] = median(far / size if size else 0.0 for far, size in zip(moved, sizes))
            starts = [self._at_start[name] for name in self._watched]
            metrics["train/weight_growth"] = median(size / start for size, start in zip(sizes, starts))
        if self._micro_grad_norm is not None:
            metrics["train/micro_grad_norm"] = float(self._micro_grad_norm)
        self._losses, self._before, self._micro_grad_norm = [], None, None
        return metrics


def watched_matrices(model: nn.Module, most: int) -> list[nn.Parameter]:
    """Return at most `most` trained matrices of which this process holds a part, evenly spread over the model.

    Embedding tables, of which a step moves only the rows of its tokens, are left out.
    """
    tables = {id(p) for module in model.modules() if isinstance(module, nn.Embedding) for p in module.parameters()}
    found = [p for p in model.parameters() if p.requires_grad and p.dim() == 2 and id(p) not in tables]
    found = [p for p in found if local(p).numel() > 0]
    if len(found) <= most:
        return found
    return [found[round(place * (len(found) - 1) / max(1, most - 1))] for place in range(most)]


def _part(p: nn.Parameter) -> Tensor:
    return local(p).detach().reshape(-1)[:ENTRIES]


def _rms(parts: list[Tensor]) -> list[float]:
    """The root mean square of each, read from the device at once."""
    return torch.stack([part.float().square().mean().sqrt() for part in parts]).tolist() if parts else []
