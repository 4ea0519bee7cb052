"""The workspace of a project in W&B, as code: what a run is looked at by, in six sections."""

from typing import Any

STEP = "step"
"""The axis: W&B's own counts rows, not optimiser steps."""
GPUS = 8
"""Devices of one machine that the section System shows."""

LOSS = [
    ("Loss", ["train/loss", "val/loss"], ""),
    ("Validation loss", ["val/loss"], ""),
    ("Bits per byte", ["val/bits_per_byte"], ""),
    ("Perplexity", ["val/perplexity"], ""),
    ("Accuracy of the next token", ["val/accuracy"], ""),
    ("Parts of the objective", [], "^train/loss/.+"),
]
STABILITY = [
    ("Gradient norm", ["train/grad_norm", "train/micro_grad_norm"], ""),
    ("Learning rate", ["train/lr"], ""),
    ("Highest loss since the row before", ["train/loss_max"], ""),
    ("Steps without an update, and times gone back", ["train/skipped_steps", "train/rollbacks"], ""),
    ("Update over weight", [], "^train/update_ratio.*"),
    ("Growth of the weights", [], "^train/weight_growth.*"),
]
THROUGHPUT = [
    ("Tokens per second", ["train/tokens_per_second"], ""),
    ("Model FLOPs utilisation", ["train/mfu"], ""),
    ("Seconds of a step", ["train/step_seconds"], ""),
    ("Share of time that waits for data", ["train/data_wait_ratio"], ""),
    ("Seconds that a checkpoint holds training up", ["train/checkpoint_stall_seconds"], ""),
    ("Memory, bytes", ["train/memory_bytes"], ""),
]
EVALUATION = [
    ("Numbers of the tasks", [], "^val/[^/]+/.+"),
    ("Rewards", [], "^train/reward.*"),
]
BEST = ["best/val/loss", "best/val/bits_per_byte", "test/loss", "test/bits_per_byte"]
SYSTEM = [
    ("Processor, %", ["system/cpu"]),
    ("Memory of the machine, %", ["system/memory_percent"]),
    ("Memory of the process, MB", ["system/proc.memory.rssMB"]),
    ("GPUs, %", [f"system/gpu.{place}.gpu" for place in range(GPUS)]),
    ("Memory of the GPUs, %", [f"system/gpu.{place}.memoryAllocated" for place in range(GPUS)]),
    ("Power of the GPUs, W", [f"system/gpu.{place}.powerWatts" for place in range(GPUS)]),
]
TABLES = ["samples", "rollouts"]
"""Tables that runs carry."""


def workspace(entity: str, project: str, title: str, url: str | None = None) -> Any:
    """Return the workspace, not saved yet; with `url` the one that is there, its sections laid out anew."""
    import wandb_workspaces.workspaces as ws

    if url is None:
        space = ws.Workspace(entity=entity, project=project, name=title)
    else:
        space = ws.Workspace.from_url(url)
    space.sections = _sections()
    space.settings.x_axis = STEP
    return space


def _sections() -> list[Any]:
    import wandb_workspaces.reports.v2 as wr
    import wandb_workspaces.workspaces as ws

    tables = [wr.WeavePanelSummaryTable(table_name=name) for name in TABLES]
    best = [wr.ScalarChart(title=f"{name}, of each run", metric=wr.SummaryMetric(name)) for name in BEST]
    settings = wr.RunComparer(diff_only="split")
    panels = {
        "Loss": _plots(LOSS),
        "Stability": _plots(STABILITY),
        "Throughput": _plots(THROUGHPUT),
        "Samples": tables,
        "Evaluation": [*_plots(EVALUATION), *best, settings],
        "System": [wr.LinePlot(title=title, x="RelativeTime(Wall)", y=list(names)) for title, names in SYSTEM],
    }
    return [ws.Section(name=name, panels=list(shown), is_open=name != "System") for name, shown in panels.items()]


def _plots(lines: list[tuple[str, list[str], str]]) -> list[Any]:
    """Return a plot for each (title, metrics, pattern); one with a pattern shows every metric that it fits."""
    import wandb_workspaces.reports.v2 as wr

    return [
        wr.LinePlot(title=title, x=STEP, y=list(names), metric_regex=pattern or None) for title, names, pattern in lines
    ]
