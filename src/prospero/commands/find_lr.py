"""`find_lr`: the learning-rate range test on the very run that `train` would start with the same settings."""

import csv
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from prospero.errors import ConfigError
from prospero.training.settings import TrainConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from prospero.optim.lr_finder import LRCurve
    from prospero.runs.folder import RunFolder
    from prospero.training.assembly import RunParts

EXAMPLES = [
    ("prospero find_lr model=tiny optimizer=muon", "prints the suggestion, writes the curve"),
]


@dataclass(kw_only=True, slots=True)
class FindLRConfig(TrainConfig):
    """All settings of a training run, and the range of the test."""

    start_lr: float = 1e-6
    """Learning rate of the first step."""
    end_lr: float = 1.0
    """Learning rate of the last step."""
    range_steps: int = 100
    """Steps of the test, over which the rate rises exponentially; at least 8."""

    def __post_init__(self) -> None:
        TrainConfig.__post_init__(self)
        if not 0 < self.start_lr < self.end_lr < float("inf"):
            raise ConfigError(f"start_lr={self.start_lr} and end_lr={self.end_lr}: give 0 < start_lr < end_lr")
        if self.range_steps < 8:
            raise ConfigError(f"range_steps={self.range_steps} is too few for a curve; give 8 or more")


def find_lr(config: FindLRConfig) -> int:
    """Raise the learning rate step by step, print the advice, write the curve; the weights are thrown away."""
    from prospero.commands.init_from import begin_from
    from prospero.commands.teaching import teaching_of
    from prospero.log import log
    from prospero.optim.lr_finder import lr_range_test
    from prospero.training.assembly import assemble
    from prospero.training.session import open_session

    config = replace(config, name=f"find_lr_{config.run_name()}")
    config, source = begin_from(config)
    with open_session(config, source, teaching_of(config)) as session:
        if session.hardware.world_size > 1:
            raise ConfigError("find_lr uses one device; add trainer.devices=1")
        run = assemble(session)
        session.begin(run.prepared.fingerprint)
        model = run.module.model.to({"gpu": "cuda"}.get(session.hardware.accelerator.name, "cpu"))
        optimizer = config.optimizer.build(model)
        run.module.objective.bind(model)
        curve = lr_range_test(
            _backward(run, model),
            model,
            optimizer,
            start_lr=config.start_lr,
            end_lr=config.end_lr,
            steps=config.range_steps,
        )
        _write(session.folder, curve)
        log.info(
            "loss falls fastest at lr %.2g; a tenth of the rate of the lowest loss is %.2g",
            curve.steepest,
            curve.tenth_of_minimum,
        )
        picture = session.folder.path / "find_lr.png"
        log.info("try optimizer.lr=%.2g; the curve is %s", curve.suggestion, picture)
        return session.end(0)


def _backward(run: "RunParts", model: "nn.Module") -> "Callable[[], Tensor]":
    """Return what leaves the next global batch's gradient, clipped as the run does, and returns its loss."""
    import torch

    from prospero.objective.objective import Share
    from prospero.optim.clipping import clip_grad_norm_

    device = next(model.parameters()).device
    batches = iter(run.data.train_dataloader())
    micro_steps, bf16 = run.data.accumulate, run.session.hardware.precision.name == "bf16"

    def backward() -> "Tensor":
        total = torch.zeros((), device=device)
        for micro_step in range(micro_steps):
            batch = next(batches).to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                share = Share(last_micro_step=micro_step == micro_steps - 1)
                result = run.module.objective(model, batch, share)
            result.total.backward()
            total += result.total.detach()
        clip_grad_norm_(model.parameters(), run.module.how.max_grad_norm)
        return total

    return backward


def _write(folder: "RunFolder", curve: "LRCurve") -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with open(folder.path / "find_lr.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["lr", "loss", "smoothed"])
        writer.writerows(zip(curve.lrs, curve.losses, curve.smoothed, strict=True))
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    axes.plot(curve.lrs, curve.losses, color="0.75", linewidth=1, label="loss")
    axes.plot(curve.lrs, curve.smoothed, label="smoothed")
    axes.axvline(curve.suggestion, color="C3", linestyle="--", label=f"try {curve.suggestion:.2g}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="nats per token")
    axes.legend()
    figure.savefig(folder.path / "find_lr.png", dpi=120)
    plt.close(figure)
