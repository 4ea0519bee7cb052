"""The program as a user starts it, on a tiny corpus, with the callback of `poison.py`."""

import os
import subprocess
import sys
from pathlib import Path

from tests.programs import Program

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parent

SETTINGS = [
    "data=files", "data.path=text.jsonl", "split=hash", "tokenizer=byte", "model=tiny", "seq_len=32",
    "global_batch_size=4", "schedule=constant", "optimizer.lr=1e-3", "trainer.accelerator=cpu",
    "trainer.precision=float32", "trainer.log_every_steps=1", "trainer.val_sequences=16", "trainer.val_every_steps=0",
    "trainer.test_sequences=16", "callbacks=[checkpoints,poison]", "plugins=[poison]",
    "callbacks.checkpoints.keep_last=9",
]  # fmt: skip


def write_text(folder: Path) -> Path:
    lines = [f'{{"text": "Line {n} says that {n} plus {n} is {2 * n}, whatever {n} may be."}}\n' for n in range(400)]
    (folder / "text.jsonl").write_text("".join(lines))
    return folder


def start(*words: str, folder: Path, **options: object) -> subprocess.Popen[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PROSPERO_", "LOCAL_RANK"))}
    environment |= {"PYTHONPATH": f"{HERE}{os.pathsep}{ROOT / 'src'}", "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    return Program(
        [sys.executable, str(ROOT / "train.py"), *SETTINGS, *words],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def train(*words: str, folder: Path, timeout: float = 120) -> tuple[int, str]:
    """Return the exit code and what was said."""
    process = start(*words, folder=folder)
    try:
        _, said = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, said
