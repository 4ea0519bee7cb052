"""environment.json: what a run ran on, so that a result can be repeated or a difference explained."""

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prospero.paths import write_text
from prospero.runs.folder import RunFolder
from prospero.secret_values import redacted_word, scrub

_PACKAGES = ("prospero", "torch", "lightning", "hydra-core", "omegaconf", "tokenizers", "numpy", "safetensors", "wandb")
_MAX_DIFF_BYTES = 2_000_000


def environment(
    *,
    gpus: Sequence[Mapping[str, Any]] = (),
    command_line: Sequence[str] | None = None,
    hardware: Mapping[str, Any] | None = None,
    data_fingerprint: str | None = None,
) -> dict[str, Any]:
    """Return versions, processor, and the clone's commit, as plain values; secrets in the command line are replaced.

    `gpus` are the facts of the machine's accelerators, which whoever has torch at hand gives; `hardware` is what the
    run uses of the machine (processes, precision, threads), `data_fingerprint` that of its prepared data.
    """
    return {
        "command_line": [redacted_word(word) for word in (sys.argv if command_line is None else command_line)],
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "cpu": _cpu_name(),
        "cpu_cores": os.cpu_count(),
        "memory_bytes": _memory_bytes(),
        "gpus": [dict(gpu) for gpu in gpus],
        "hardware": dict(hardware or {}),
        "data_fingerprint": data_fingerprint,
        "git": _git(),
    }


def write_environment(run_dir: Path, **facts_of_the_run: Any) -> dict[str, Any]:
    """Write environment.json (and, when the clone has changes, code.diff) into the run folder; return the facts.

    `facts_of_the_run` are the arguments of `environment`.
    """
    run = RunFolder(run_dir)
    facts = environment(**facts_of_the_run)
    diff = facts["git"].pop("diff", "")
    if diff:
        write_text(run.code_diff, scrub(diff))
    write_text(run.environment, scrub(json.dumps(facts, indent=2)) + "\n")
    return facts


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_bytes() -> int:
    import psutil

    return psutil.virtual_memory().total


def _git() -> dict[str, Any]:
    """Return commit and diff of the clone the package runs from; empty when it is installed without one."""
    folder = Path(__file__).resolve().parent
    commit = _run_git(folder, "rev-parse", "HEAD")
    top = _run_git(folder, "rev-parse", "--show-toplevel")
    if not commit or not top or not (Path(top.strip()) / "src" / "prospero").is_dir():
        return {}
    diff = _run_git(folder, "diff", "HEAD") or ""
    if len(diff) > _MAX_DIFF_BYTES:
        diff = diff[:_MAX_DIFF_BYTES] + "\n... cut here\n"
    return {"commit": commit.strip(), "changed": bool(diff), "diff": diff}


def _run_git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None
