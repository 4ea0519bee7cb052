"""Does training on this machine's GPUs give the losses of a CPU, and how fast is it? One command, about ten minutes.

    python benchmarks/gpu.py [--minutes 10] [--sizes 124m 350m 1.3b] [--only checks|speed] [--json FILE]

Checks first: float32 (without TF32), bf16, compile, activation checkpointing, resume, ddp, fsdp, hsdp, tensor parallel,
cpu_offload, as the devices allow, each against one CPU process; then tokens/s, MFU and peak memory on one GPU beside
a plain torch loop of the same model. A table on the screen, and all numbers as JSON. Exit code 0 when every check that
ran held, 1 when one failed, 2 without a CUDA device. `--device cpu --sizes tiny` tries the command without a GPU.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gpu_checks import CHECKS, Check, Outcome, perform, reference
from gpu_speed import DEFAULT_SIZES, LOOPS, OUTPUTS, SIZES, Row, measure


def available_devices(device: str) -> int:
    """Return how many devices there are; on a CPU two processes, which is enough for every strategy."""
    import torch

    return torch.cuda.device_count() if device == "cuda" else 2


def machine(device: str) -> dict[str, Any]:
    """Return what the numbers were measured on."""
    import torch

    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    return {
        "device": name,
        "devices": available_devices(device),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
    }


def run_checks(
    checks: list[Check],
    device: str,
    in_time: Callable[[], bool],
    say: Callable[[str], None] = print,
) -> list[Outcome]:
    """Run the checks, each said as it ends; those for which no time is left are left out."""
    outcomes = []
    with tempfile.TemporaryDirectory() as place:
        folder, available = Path(place), available_devices(device)
        expected = reference(folder)
        for check in checks:
            if in_time():
                outcome = perform(check, folder, expected, device, available)
            else:
                outcome = Outcome(check.name, "left out", None, "no time left; give more --minutes")
            say(outcome.line())
            outcomes.append(outcome)
    return outcomes


def run_speed(
    sizes: list[str],
    device: str,
    rounds: int,
    in_time: Callable[[], bool],
    measure: Callable[[str, str, str, int, float | None], Row] = measure,
) -> list[Row]:
    """Measure every loop at every size; those for which no time is left are left out."""
    import torch

    from prospero.training.callbacks.throughput import peak_flops_of

    peak = peak_flops_of(torch.device(device), "bf16")
    return [measure(loop, size, device, rounds, peak) for size in sizes for loop in LOOPS if in_time()]


def table(rows: list[Row]) -> str:
    """Return the speeds as a Markdown table; each loop of a size beside the plain one."""
    lines = [
        "| model | loop | parameters | batch x length | tokens/s | MFU | peak GiB | to plain |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    plain = {row.size: row.tokens_per_second for row in rows if row.loop == "plain"}
    for row in rows:
        speed, base = row.tokens_per_second, plain.get(row.size)
        cells = [row.size, row.loop, f"{row.parameters / 1e6:,.1f} M", f"{row.batch} x {row.seq_len}"]
        cells += ["-" if speed is None else f"{speed:,.0f}", "-" if row.mfu is None else f"{row.mfu:.1%}"]
        cells += ["-" if row.peak_bytes is None else f"{row.peak_bytes / 2**30:.1f}"]
        cells += [row.note or ("-" if speed is None or base is None else f"{speed / base:.2f} x")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def as_json(machine: dict[str, Any], outcomes: list[Outcome], rows: list[Row]) -> str:
    """Return everything as JSON."""
    everything = {"machine": machine, "checks": [asdict(o) for o in outcomes], "speed": [asdict(r) for r in rows]}
    return json.dumps(everything, indent=1)


def parser() -> argparse.ArgumentParser:
    """Return the options."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=10, help="nothing new is begun after this long")
    options.add_argument("--sizes", nargs="+", default=DEFAULT_SIZES, choices=list(SIZES))
    options.add_argument("--checks", nargs="+", default=None, choices=[c.name for c in CHECKS], help="these alone")
    options.add_argument("--only", choices=["checks", "speed"])
    options.add_argument("--rounds", type=int, default=20, help="measured steps of each loop")
    options.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    options.add_argument("--json", type=Path, default=OUTPUTS / "gpu.json")
    return options


def main(words: list[str] | None = None) -> int:
    """Check, measure, print and write; return the exit code."""
    import torch

    given = parser().parse_args(words)
    if given.device == "cuda" and not torch.cuda.is_available():
        print(f"benchmarks/gpu.py needs a CUDA device; none was found (torch {torch.__version__})", file=sys.stderr)
        return 2
    end = time.monotonic() + 60 * given.minutes

    def in_time() -> bool:
        return time.monotonic() < end

    found = machine(given.device)
    print(", ".join(f"{name} {value}" for name, value in found.items()))
    chosen = [check for check in CHECKS if given.checks is None or check.name in given.checks]
    outcomes = run_checks(chosen, given.device, in_time) if given.only != "speed" else []
    rows = run_speed(given.sizes, given.device, given.rounds, in_time) if given.only != "checks" else []
    if rows:
        print(table(rows))
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(as_json(found, outcomes, rows), encoding="utf-8")
    print(f"all numbers: {given.json}")
    return 1 if any(outcome.verdict == "FAILED" for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
