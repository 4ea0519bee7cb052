"""Run folders written by hand, as finished runs leave them."""

import json
from pathlib import Path

from prospero.runs.folder import RunFolder
from prospero.sweeps.folder import FORMAT, SWEEP_FILE

CONFIG = """defaults:
- base
- /schema/train@_here_
- /schema/data/stdlib@data
- /schema/model/{kind}@model
- _self_
data: {{num_workers: 0}}
model: {{d_model: {width}{heads}}}
seed: {seed}
seq_len: 256
max_steps: {max_steps}
name: null
run_dir: null
"""


def fake_run(
    folder: Path,
    *,
    seed: int = 1,
    kind: str = "transformer",
    width: int = 64,
    max_steps: object = 20,
    status: str = "DONE",
    fingerprint: str = "f00d",
    higher: tuple[str, ...] = ("accuracy",),
    **values: float,
) -> Path:
    """Write a run; `values` are numbers of its validation, `loss` 2.0 unless it is given."""
    run, values = RunFolder(folder), {"loss": 2.0} | values
    folder.mkdir(parents=True)
    heads = ", n_heads: 2" if kind == "transformer" else ""
    run.config.write_text(CONFIG.format(kind=kind, width=width, heads=heads, seed=seed, max_steps=max_steps))
    run.receipt.write_text(json.dumps({"fingerprint": fingerprint}))
    rows = ["step,tokens,train/loss,train/seconds,val/loss"]
    rows += [f"{step},{100 * step},{9 - step / 10},{step / 2},{values['loss'] + 1 / step}" for step in (5, 10, 20)]
    run.metrics.write_text("\n".join(rows) + "\n")
    result = {"objective": values["loss"], "objective_name": "val/loss", "objective_direction": "minimize"}
    result |= {f"val/{name}": value for name, value in values.items()}
    result |= {"tokens": 2000, "flops_per_token": 1e6, "status": status, "higher_is_better": list(higher)}
    if status != "RUNNING":
        run.result.write_text(json.dumps(result))
    return folder


def fake_sweep(folder: Path, jobs: list[tuple[list[str], str]], **values: list[float]) -> Path:
    """Write a sweep of (overrides, status); `values` hold a number for each job."""
    entries = []
    for number, (words, status) in enumerate(jobs):
        chosen = dict(word.split("=") for word in words)
        ended = {name: of_job[number] for name, of_job in values.items()}
        fake_run(
            folder / str(number),
            seed=int(chosen.get("seed", 1)),
            kind="lstm" if "lstm" in chosen.get("model", "") else "transformer",
            max_steps=chosen.get("max_steps", 20),
            status=status,
            **ended,
        )
        entries.append({"number": number, "overrides": words, "status": status, "exit_code": 0, "seconds": 1.0})
    record = {"format": FORMAT, "identity": "x", "sweeper": "grid", "overrides": [], "state": "finished"}
    (folder / SWEEP_FILE).write_text(json.dumps(record | {"jobs": entries}))
    return folder
