"""`find_lr`: the learning-rate range test on the very run that `train` would start with the same settings."""

import csv
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from prospero.commands.prepare import prepare_data

if TYPE_CHECKING:
    from pathlib import Path

    from prospero.optim.lr_finder import LRCurve
    from prospero.training.settings import TrainConfig

RANGE_TEST_STEPS = 100


def find_lr(config: "TrainConfig") -> int:
    """Raise the learning rate over 100 steps, print the advice, write the curve; the weights are thrown away."""
    import torch

    from prospero.commands.training_run import TrainingRun, seed_everything
    from prospero.errors import ConfigError
    from prospero.log import log
    from prospero.optim.lr_finder import lr_range_test

    config = replace(config, name=f"find_lr_{config.run_name()}")
    run = TrainingRun.start(config)
    if run.hardware.world_size > 1:
        raise ConfigError("find_lr uses one device; add trainer.devices=1")
    seed_everything(config.seed)
    prepared = prepare_data(config)
    device = torch.device({"gpu": "cuda"}.get(run.hardware.accelerator.name, run.hardware.accelerator.name))
    model = run.model(prepared.tokenizer).to(device)
    objective = run.objective()
    optimizer = config.optimizer.build(model)
    objective.bind(model)
    batches = iter(run.data(prepared).train_dataloader())
    micro_steps = config.global_batch_size // run.micro_batch_size

    def backward() -> Any:
        total = torch.zeros((), device=device)
        for micro_step in range(micro_steps):
            batch = next(batches)
            tensors = {key: value.to(device) if hasattr(value, "to") else value for key, value in batch.items()}
            with torch.autocast(device.type, torch.bfloat16, enabled=run.hardware.precision.name == "bf16"):
                output = model(tensors["input_ids"], document_ids=tensors.get("document_ids"), logits=False)
                last = micro_step == micro_steps - 1
                result = objective(
                    model, output, tensors, step=0, target_tokens=batch["target_tokens"], last_micro_step=last
                )
            result.total.backward()
            total += result.total.detach()
        return total

    curve = lr_range_test(backward, model, optimizer, steps=RANGE_TEST_STEPS)
    _write(run.folder, curve)
    log.info(
        "loss falls fastest at lr %.2g; a tenth of the rate of the lowest loss is %.2g",
        curve.steepest,
        curve.tenth_of_minimum,
    )
    log.info("try optimizer.lr=%.2g; the curve is %s", curve.suggestion, run.folder / "find_lr.png")
    return 0


def _write(folder: "Path", curve: "LRCurve") -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with open(folder / "find_lr.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["lr", "loss", "smoothed"])
        writer.writerows(zip(curve.lrs, curve.losses, curve.smoothed, strict=True))
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    axes.plot(curve.lrs, curve.losses, color="0.75", linewidth=1, label="loss")
    axes.plot(curve.lrs, curve.smoothed, label="smoothed")
    axes.axvline(curve.suggestion, color="C3", linestyle="--", label=f"try {curve.suggestion:.2g}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="nats per token")
    axes.legend()
    figure.savefig(folder / "find_lr.png", dpi=120)
    plt.close(figure)
