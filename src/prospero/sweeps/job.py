"""One job of a sweep: which settings, how its process is started, and how it ended."""

import os
import shlex
import sys
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prospero.configuration.words import plain_or_quoted, unquoted
from prospero.runs.folder import RunFolder
from prospero.runs.result import Status
from prospero.secret_values import redacted_word

WORLD_VARIABLES = (
    "LOCAL_RANK",
    "RANK",
    "NODE_RANK",
    "GROUP_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "WANDB_SERVICE",
)
"""Variables that place a process in the world of another run; a job starts without them."""

CONFIG_OPTIONS = ("--config-dir", "-cd", "--config-name", "-cn")
"""Options of the sweep's command line that say where settings are found; every job gets them too."""


@dataclass(kw_only=True, slots=True)
class Job:
    """One setting of the sweep and the folder of its run."""

    number: int
    overrides: list[str]
    folder: Path
    devices: int = 1
    """Processes that the job starts on this machine."""
    environment: dict[str, str] = field(default_factory=dict)
    """Variables for this job alone."""

    def label(self) -> list[str]:
        """The overrides as they may be shown and written: without the values of secrets."""
        return [redacted_word(word) for word in self.overrides]

    def settings(self) -> dict[str, str]:
        """The overrides as setting -> value, without the quotes of Hydra's grammar."""
        pairs = (word.lstrip("+~").partition("=") for word in self.label())
        return {key: unquoted(value) for key, _, value in pairs}

    def command(self) -> list[str]:
        """The command line of the job's process; a folder that holds a run already is continued."""
        own = ("hydra.", "hydra/")
        words = [word for word in self.overrides if not word.lstrip("+~").startswith(own)]
        run = RunFolder(self.folder)
        if run.holds_a_run:
            started_from = [word for word in words if word.lstrip("+").startswith("resume=")]
            words = [word for word in words if word not in started_from]
            saved = run.checkpoints.is_dir() and any(run.checkpoints.iterdir())
            words += started_from if started_from and not saved else ["resume=auto"]
        return [sys.executable, *program(), *config_options(), *words, f"run_dir={plain_or_quoted(str(self.folder))}"]


@dataclass(kw_only=True, slots=True)
class JobResult:
    """How a job ended; `metrics` is the run's result file, empty for a failed job."""

    job: Job
    status: Status
    exit_code: int
    seconds: float
    metrics: dict[str, Any] = field(default_factory=dict)

    @property
    def objective(self) -> float | None:
        """The number by which the job is judged, or None for a failed job."""
        value = self.metrics.get("objective")
        return float(value) if isinstance(value, int | float) else None

    def line(self, varied: Collection[str] = ()) -> str:
        """One line for the screen; of the overrides those of the settings in `varied`, all where it is empty."""
        name = self.metrics.get("objective_name", "objective")
        ended = f"{name} {self.objective:.4f}" if self.objective is not None else f"exit code {self.exit_code}"
        words = " ".join(w for w in self.job.label() if not varied or w.lstrip("+~").partition("=")[0] in varied)
        return f"[{self.job.number}] {words}: {self.status.value}, {ended}, {self.seconds:.0f} s"


def program() -> list[str]:
    """The words after the interpreter that start this same program for one job."""
    script = Path(sys.argv[0])
    return [str(script.resolve())] if script.name == "train.py" else ["-m", "prospero", "train"]


def config_options() -> list[str]:
    """Those options of this program's command line that say where settings are found."""
    given, words = sys.argv[1:], []
    for index, word in enumerate(given):
        if word.partition("=")[0] in CONFIG_OPTIONS:
            words += [word] if "=" in word else given[index : index + 2]
    return words


def shown(command: list[str]) -> str:
    """Return a command line that may be written to a file."""
    return shlex.join(redacted_word(word) for word in command)


def short(path: Path) -> str:
    """Return a path as a user would type it here."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
