"""Two or more processes that are ranks of one group, started as torchrun would start them, without its agent.

The agent is one more program that imports torch, and starts the others by imports of their own (tests/programs.py).
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.programs import Program

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 280


def run_ranks(script: Path, *words: str, size: int = 2) -> None:
    """Run `script` with `words` as every rank; where one fails, the others are ended, and its last words are told."""
    shared = {"WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size), "GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "pair"}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "OMP_NUM_THREADS": "1"}
    shared["PYTHONPATH"] = f"{ROOT}{os.pathsep}{ROOT / 'src'}"
    with tempfile.TemporaryFile() as said:
        ranks = [
            Program(
                [sys.executable, str(script), *words],
                env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                stdout=subprocess.DEVNULL,
                stderr=said,
            )
            for rank in range(size)
        ]
        try:
            codes = _wait(ranks)
        finally:
            for rank in ranks:
                rank.kill()
                rank.wait()
        said.seek(0)
        assert codes == [0] * size, f"exit codes {codes}: {said.read().decode(errors='replace')[-5000:]}"


def _wait(ranks: list[subprocess.Popen]) -> list[int | None]:
    """Return the exit codes when all have ended, or one with an error, or SECONDS are over."""
    end = time.monotonic() + SECONDS
    while True:
        codes = [rank.poll() for rank in ranks]
        if None not in codes or any(codes) or time.monotonic() > end:
            return codes
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
