"""How long the board takes with many long runs: its first answer, a refresh, curves, and all of it in a browser.

    python benchmarks/board.py [--runs 200] [--rows 10000] [--folder FOLDER] [--browser]

Makes a folder of runs (a config.yaml like a run's, a metrics.csv of so many rows, a result.json; three of them go on)
and prints processor time of each answer, JSON included, so that other programs on the machine change little. With
--browser it does the same with a Chromium: processor time of this program (the server, and what drives the browser) and
of the page's main thread, and the clock, from the request of the page to the table and the curves of six runs.
"""

import argparse
import json
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prospero.board.board import Board
from prospero.board.server import BoardServer
from prospero.processes.locks import try_lock

if TYPE_CHECKING:
    from playwright.sync_api import Page

COLUMNS = [
    "step",
    "tokens",
    "train/loss",
    "train/lr",
    "train/grad_norm",
    "train/skipped_steps",
    "train/tokens_per_second",
    "train/step_seconds",
    "train/data_wait_ratio",
    "train/seconds",
    "train/memory_bytes",
    "train/mfu",
    "train/loss_max",
    "train/update_ratio",
    "train/weight_growth",
    "val/loss",
    "val/perplexity",
    "val/bits_per_byte",
    "val/accuracy",
]
GROWING = 3
SETTINGS = """# Run it again: python train.py --config-dir <this folder> --config-name config run_dir=<a new folder>
defaults:
- base
- /schema/train@_here_
- /schema/model/transformer@model
- /schema/optimizer/muon@optimizer
- _self_
model:
  n_layers: {layers}
  d_model: 192
optimizer:
  lr: {lr}
seed: {seed}
monitor: val/loss
"""


def make_runs(root: Path, runs: int, rows: int, settings: int) -> None:
    """Write the folder: each run of three seeds, `settings` more settings in each config.yaml."""
    random = np.random.default_rng(0)
    steps = np.arange(1, rows + 1) * 10
    more = "".join(f"more_{number}:\n  a: {number}\n  b: 0.{number}\n  c: text\n" for number in range(settings // 3))
    for run in range(runs):
        folder = root / "train" / f"2026-01-{run % 28 + 1:02d}_00-00-00_run{run:04d}"
        folder.mkdir(parents=True)
        loss = 3 + 4 / np.sqrt(steps / 10) + random.normal(0, 0.05, rows)
        cells = {name: random.random(rows) for name in COLUMNS}
        cells |= {"train/loss": loss, "train/seconds": steps * 0.3}
        text = [list(map(repr, cells[name].tolist())) for name in COLUMNS]
        text[0], text[1] = list(map(str, steps)), list(map(str, steps * 4096))
        for number, name in enumerate(COLUMNS):
            if name.startswith("val/"):
                text[number] = [cell if row % 25 == 24 else "" for row, cell in enumerate(text[number])]
        lines = [",".join(COLUMNS), *map(",".join, zip(*text))]
        (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
        chosen = {"layers": run // 3 % 4 + 1, "lr": [0.01, 0.003, 0.001][run // 12 % 3], "seed": run % 3 + 1}
        (folder / "config.yaml").write_text(SETTINGS.format(**chosen) + more)
        (folder / "log.txt").write_text("a line\n" * 200)
        if run >= GROWING:
            result = {"objective": 3.1, "objective_name": "val/loss", "val/loss": 3.1 + run / 1000, "status": "DONE"}
            (folder / "result.json").write_text(json.dumps(result | {"flops_per_token": 14155776, "steps": rows * 10}))


def growing(root: Path) -> list[Path]:
    """Hold the locks of the first runs, as training does, and return their folders."""
    folders = sorted((root / "train").glob("*_run000[0-2]"))
    for folder in folders:
        try_lock(folder / ".lock")  # held until this program ends
        (folder / ".lock").write_text(json.dumps({"host": socket.gethostname(), "pid": 1, "since": ""}))
    return folders


def grow(folders: list[Path], step: int) -> None:
    """Append a row to each."""
    for folder in folders:
        with open(folder / "metrics.csv", "a") as file:
            file.write(",".join([str(step), str(step * 4096), *["0.5"] * (len(COLUMNS) - 2)]) + "\n")


def measure(root: Path, rows: int) -> None:
    """Print the processor time of each answer."""

    def timed(what: str, make):
        clock, start = time.perf_counter(), time.process_time()
        answer = make()
        size = len(json.dumps(answer))
        used, passed = time.process_time() - start, time.perf_counter() - clock
        print(f"{what:<58} {used:7.3f} s of a processor, {passed:7.3f} s, {size / 1e6:6.2f} MB", flush=True)
        return answer

    folders = growing(root)
    board = Board(root)
    keys: list[str] = []

    def first():
        board.refresh(at_once=True)
        return board.runs()

    answer = timed("first answer: the table", first)
    keys = [run["key"] for run in answer["runs"]]
    shown = {metric: [(key, "") for key in keys[:6]] for metric in ("train/loss", "val/loss")}
    for metric, wanted in shown.items():
        timed(f"first curves of 6 runs: {metric}", partial(board.curves, metric, wanted, 600))
    every = timed(f"first curves of {len(keys)} runs", lambda: board.curves("train/loss", [(k, "") for k in keys], 200))
    tags = [(key, one["tag"]) for key, one in every.items()]

    def again():
        board.refresh(at_once=True)
        return board.runs(answer["version"])

    timed("refresh: nothing is new", again)
    grow(folders, (rows + 1) * 10)
    timed(f"refresh: {len(folders)} runs have grown", again)
    timed("refresh of all curves: they have grown", lambda: board.curves("train/loss", tags, 200))
    timed("another metric of all runs, all in memory", lambda: board.curves("val/loss", [(k, "") for k in keys], 200))


def spent_by(page: "Page") -> Callable[[], float]:
    """Return a function that tells the processor time of a page's main thread so far."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def spent() -> float:
        found = session.send("Performance.getMetrics")["metrics"]
        return next(one["value"] for one in found if one["name"] == "TaskDuration")

    return spent


def in_browser(root: Path, rows: int) -> None:
    """Print what a Chromium shows on the clock."""
    from playwright.sync_api import sync_playwright

    path = next(found for found in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if found)
    folders = growing(root)
    server = BoardServer(Board(root), 0, refresh_seconds=3600, stop_button=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path)
        for what in ("a board that has just begun", "a board that runs"):
            page = browser.new_page(viewport={"width": 1400, "height": 900})
            spent = spent_by(page)
            start, server_start = time.perf_counter(), time.process_time()
            page.goto(server.url)
            page.wait_for_selector("#runs tbody tr[data-run]")
            table = time.perf_counter() - start
            page.wait_for_selector("body[data-drawn]")
            passed, here = time.perf_counter() - start, time.process_time() - server_start
            print(f"{what}: {here:.2f} s of the server, {spent():.2f} s of the page; on the clock the table after "
                  f"{table:.2f} s, the curves after {passed:.2f} s", flush=True)  # fmt: skip
        for number in range(3):
            if number:
                grow(folders, (rows + 1 + number) * 10)
            time.sleep(1)
            before, start, server_start = spent(), time.perf_counter(), time.process_time()
            page.evaluate("async () => { if (await Data.refresh()) await Main.draw(); document.body.offsetHeight; }")
            passed, here = time.perf_counter() - start, time.process_time() - server_start
            print(f"refresh, {len(folders) if number else 0} runs have grown: {here:.3f} s of the server, "
                  f"{spent() - before:.3f} s of the page; {passed:.3f} s on the clock", flush=True)  # fmt: skip
        browser.close()
    server.shutdown()


def main() -> None:
    """Make the folder, unless it is there, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--settings", type=int, default=170)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--browser", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = arguments.folder or Path(temporary)
        if not (root / "train").is_dir():
            make_runs(root, arguments.runs, arguments.rows, arguments.settings)
        (in_browser if arguments.browser else measure)(root, arguments.rows)


if __name__ == "__main__":
    main()
