"""What W&B is told of a run beside its settings and its rows: where it came from, its size, and its best numbers."""

import json
import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prospero.runs.folder import RunFolder
from prospero.runs.metrics import metric_series
from prospero.training.run_facts import RunFacts

KEY = "run"
"""Where the facts stand in W&B's config; none of our settings is called so."""


def run_facts_for_config(run: RunFacts) -> dict[str, Any]:
    """Return commit, command, parameters and operations, as plain values; secrets were taken out of the command."""
    facts: dict[str, Any] = {"folder": run.run_dir.name, "data_fingerprint": run.data_fingerprint}
    facts |= {"precision": run.precision, "tokens_per_step": run.tokens_per_step}
    facts |= {"flops_per_token": run.flops_per_token, "flops_per_step": run.flops_per_token * run.tokens_per_step}
    if run.size is not None:
        facts["parameters"] = run.size.total
        facts["parameters_non_embedding"] = run.size.non_embedding
        facts["parameters_trained"] = run.size.total if run.size.trained is None else run.size.trained
    return facts | _origin(RunFolder(run.run_dir).environment)


def _origin(environment: Path) -> dict[str, Any]:
    """Return what environment.json says of the code and of the machine; nothing where the run has written none."""
    try:
        found = json.loads(environment.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    git = found.get("git") or {}
    origin = {"command": shlex.join(found["command_line"]), "git_commit": git.get("commit")}
    origin |= {"git_changed": git.get("changed"), "python": found["python"], "packages": found["packages"]}
    return origin | {"cpu": found["cpu"], "gpus": [gpu.get("name") for gpu in found["gpus"]]}


class BestNumbers:
    """The best value of every number of a validation; what an earlier start of the run measured counts too."""

    PREFIX = "best/"

    def __init__(self, run: RunFacts) -> None:
        self._higher_is_better = run.higher_is_better
        self._file = RunFolder(run.run_dir).metrics
        self._best: dict[str, float] = {}

    def begin(self, step: int) -> dict[str, float]:
        """Take up what metrics.csv holds until `step`; return the best of it as a summary."""
        self._best = {}
        for name, points in (metric_series(self._file) if step else {}).items():
            for at, value in points:
                if at <= step:
                    self.update({name: value})
        return {f"{self.PREFIX}{name}": value for name, value in self._best.items()}

    def update(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Return, as a summary, the numbers of a row that are better than all before."""
        better = {}
        for name, value in metrics.items():
            if name in self._higher_is_better and self._is_better(name, value):
                self._best[name] = better[f"{self.PREFIX}{name}"] = value
        return better

    def _is_better(self, name: str, value: float) -> bool:
        before = self._best.get(name)
        if math.isnan(value) or before is None:
            return not math.isnan(value)
        return value > before if self._higher_is_better[name] else value < before
