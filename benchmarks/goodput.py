"""Goodput: the share of time that a run killed every minute spends in steps that count.

    python benchmarks/goodput.py [--every 60] [--steps 600] [--save-every 10] [--asynchronous] [further settings]

Starts `python train.py ... resume=auto`, kills the process group with -9 `--every` seconds after each start, and starts
it again by the same command until it finishes. Useful are the seconds of the steps in the final metrics.csv (those that
no later life had to repeat); the whole is the time from each life's first step to its end. What a process needs to
come to its first step (imports, finding the prepared data, reading the checkpoint) is reported apart.
"""

import argparse
import csv
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUN = ROOT / "outputs" / "benchmarks" / "goodput"


@dataclass
class Life:
    """One process of the run, from start to end."""

    to_first_step: float
    """Seconds from the start of the process to the end of its first step."""
    training: float
    """Seconds from then to its end."""
    killed: bool


def last_step() -> int:
    """Return the step of the last whole row of metrics.csv, 0 without one."""
    try:
        lines = (RUN / "metrics.csv").read_text().splitlines()[1:]
    except FileNotFoundError:
        return 0
    number = lines[-1].partition(",")[0] if lines else ""
    return int(number) if number.isdigit() else 0


def live(command: list[str], limit: float, steps: int) -> Life:
    """Start the command and kill it after `limit` seconds, unless it ends before."""
    began, before = time.monotonic(), last_step()
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    first: float | None = None
    end: float | None = None
    while process.poll() is None and (end is not None or time.monotonic() - began < limit):
        now = last_step()  # a life first takes back the rows after its checkpoint, then adds its own
        if first is None and now > before:
            first = time.monotonic()
        if now >= steps and end is None:
            end = time.monotonic()  # what follows is the final evaluation
        before = now
        time.sleep(0.01)
    killed = process.poll() is None
    if killed:
        os.killpg(process.pid, signal.SIGKILL)
    code = process.wait()
    if not killed and code:
        raise SystemExit(f"the run ended with exit code {code}; see {RUN / 'log.txt'}")
    end = end or time.monotonic()
    first = first or end
    return Life(first - began, end - first, killed)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=float, default=60.0, help="seconds from a start to its kill")
    parser.add_argument("--steps", type=int, default=600, help="optimiser steps of the run")
    parser.add_argument("--save-every", type=int, default=10, help="steps between checkpoints")
    parser.add_argument("--asynchronous", action="store_true", help="save in the background")
    given, settings = parser.parse_known_args()
    shutil.rmtree(RUN, ignore_errors=True)
    command = [
        sys.executable, "train.py", f"run_dir={RUN}", "resume=auto", f"max_steps={given.steps}",
        "trainer.val_every_steps=0", "trainer.log_every_steps=1", "callbacks=[checkpoints,throughput]",
        f"callbacks.checkpoints.every_steps={given.save_every}",
        f"callbacks.checkpoints.asynchronous={str(given.asynchronous).lower()}", *settings,
    ]  # fmt: skip
    lives = []
    while not lives or lives[-1].killed:
        lives.append(live(command, given.every, given.steps))
        print(
            f"life {len(lives)}: to step {last_step()}, {lives[-1].to_first_step:.1f} s to its first step", flush=True
        )
    with open(RUN / "metrics.csv", newline="") as file:
        useful = sum(float(row["train/step_seconds"]) for row in csv.DictReader(file))
    training = sum(life.training for life in lives)
    starts = [life.to_first_step for life in lives]
    print(f"{len(lives) - 1} kills; {given.steps} steps, {useful:.1f} s of them useful, {training:.1f} s in all")
    print(
        f"goodput {useful / training:.3f} (starts left out; they took {statistics.median(starts):.1f} s each, median)"
    )


if __name__ == "__main__":
    main()
