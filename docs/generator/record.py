"""Write down what the pictures of the concepts are drawn from: `python docs/generator/record.py <run> <sweep>`.

The numbers are those of real runs and of the real parts, kept small in docs/runs, so that building the site needs
neither torch nor a run. <run> is a run folder of `python train.py`; <sweep> a folder of
`python train.py -m model=tiny,lstm_tiny seed=1,2,3 max_steps=60 trainer.val_every_steps=10`.
"""

import csv
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prospero.analysis.reading import Rows, read_attention
from prospero.batch import IGNORE_INDEX
from prospero.checkpoints.model_folder import load_model
from prospero.configuration.composition import register, typed_job
from prospero.data.shards import ShardWriter, TokenShards
from prospero.library import open_run

RUNS = Path(__file__).parent.parent / "runs"
SCHEDULE_STEPS = 200
SCHEDULES = ("constant", "linear", "cosine", "wsd", "trapezoid", "inverse_sqrt")
PACKED_LENGTHS = (9, 5, 14, 3, 7, 11, 4, 6)
PACKED_INTO = 16
PROMPT = "def __init__(self"
TEMPERATURES = (0.5, 1.0, 1.5)
MOST_LIKELY = 8
READ = "def add(self, name):\n    self.name = name\n    return self."


def schedules() -> dict[str, list[float]]:
    """Return preset -> the rate of every step as a share of the peak."""
    found = {}
    for name in SCHEDULES:
        schedule = typed_job("train", [f"schedule={name}"]).schedule
        found[name] = [round(schedule.ratio(step, SCHEDULE_STEPS), 4) for step in range(SCHEDULE_STEPS)]
    return found


def packings(folder: Path) -> dict[str, list[list[int]]]:
    """Return packing -> its sequences: for each position the document whose token is predicted there, -1 for none."""
    writer = ShardWriter(folder / "train.bin", np.uint16, 0)
    for number, length in enumerate(PACKED_LENGTHS):
        writer.add(np.full(length, number + 1), n_bytes=length, n_characters=length)
        writer.end_document()
    writer.close()
    found = {}
    for name in ("concat", "best_fit", "padded"):
        packing: Any = typed_job("train", [f"packing={name}"]).packing.build(
            TokenShards(folder / "train.bin"), PACKED_INTO
        )
        rows = packing.read(np.arange(len(packing)))
        ends = np.where(rows["labels"] == 0, rows["input_ids"], rows["labels"])  # an end belongs to its document
        found[name] = np.where(rows["labels"] == IGNORE_INDEX, -1, ends - 1).tolist()
    return found


def next_tokens(run: Path) -> dict[str, Any]:
    """Return the likeliest tokens behind PROMPT, and their probability at each temperature."""
    model, tokenizer, _ = load_model(run)
    assert tokenizer is not None
    with torch.no_grad():
        logits: Any = model.eval()(torch.tensor([tokenizer.encode(PROMPT)])).logits
    last = logits[0, -1].float()
    best = last.topk(MOST_LIKELY).indices
    at = {str(t): [round(p, 4) for p in torch.softmax(last / t, -1)[best].tolist()] for t in TEMPERATURES}
    return {"prompt": PROMPT, "tokens": [tokenizer.decode([int(i)]) for i in best], "probabilities": at}


def attention(run: Path) -> dict[str, Any]:
    """Return the weights of the head whose rows are the most concentrated, over READ."""
    model, tokenizer, _ = load_model(run)
    assert tokenizer is not None
    ids = tokenizer.encode(READ)
    row = torch.tensor([ids])
    with torch.no_grad():
        blocks = read_attention(model.eval(), Rows(input_ids=row, labels=row, document_ids=torch.zeros_like(row)))[1]
    weights = torch.stack([block[0] for block in blocks])  # [L, N, T, T]
    back = weights.tril(-1)[:, :, 1:, 1:].amax(-1).mean(-1)  # at a token before it, not the first
    layer, head = divmod(int(back.argmax()), weights.shape[1])
    rows = [[round(value, 3) for value in row] for row in weights[layer, head].tolist()]
    return {"layer": layer, "head": head, "tokens": [tokenizer.decode([i]) for i in ids], "weights": rows}


def curves(run: Path) -> dict[str, list[list[float]]]:
    """Return the curves of a run: metric -> [[tokens, value], ...]."""
    with open(open_run(run).folder.metrics, newline="") as file:
        rows = list(csv.DictReader(file))
    wanted = ("train/loss", "train/lr", "val/loss", "val/bits_per_byte", "train/grad_norm")
    return {
        name: [[float(row["tokens"]), round(float(row[name]), 5)] for row in rows if row.get(name)] for name in wanted
    }


def repeated(sweep: Path) -> list[dict[str, Any]]:
    """Return the curves of validation of every job of a sweep, with what was swept."""
    found = []
    for folder in sorted(path for path in sweep.iterdir() if (path / "config.yaml").is_file()):
        run = open_run(folder)
        model = "tiny" if "d_model" in run.config["model"] and "n_heads" in run.config["model"] else "lstm_tiny"
        found.append({"model": model, "seed": run.config["seed"], "val/loss": curves(folder)["val/loss"]})
    return found


def main() -> None:
    """Write docs/runs/concepts.json."""
    run, sweep = (Path(word) for word in sys.argv[1:])
    register()
    with tempfile.TemporaryDirectory() as folder:
        found = {
            "run": curves(run),
            "schedules": schedules(),
            "packings": packings(Path(folder)),
            "next_tokens": next_tokens(run),
            "attention": attention(run),
            "sweep": repeated(sweep),
        }
    RUNS.mkdir(exist_ok=True)
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in found.items()]
    (RUNS / "concepts.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
