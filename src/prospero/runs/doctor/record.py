"""A run as the doctor sees it: its files, read once. What is missing or damaged is absent, never an error."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from prospero.configuration.reading import read_config, read_parts
from prospero.errors import DataError
from prospero.processes.run_lock import is_held
from prospero.runs.doctor.curve import Curve, finite
from prospero.runs.doctor.finding import CannotJudge
from prospero.runs.doctor.probe import Probe
from prospero.runs.folder import RunFolder
from prospero.runs.metrics import metric_series
from prospero.runs.result import Status, read_result

LIKELIHOODS = frozenset({"cross_entropy", "focal", "distill"})
"""Losses that are nats of a token, which fall as a model learns."""


class Stage(Enum):
    """How far a run has come."""

    training = "is still training"
    ended = "has come to its end"
    pruned = "was pruned by its sweep"
    stopped = "was stopped, to be continued"
    diverged = "has diverged and given up"
    broken_off = "was broken off: nothing trains it, and it has no result"


@dataclass(kw_only=True, slots=True)
class RunRecord:
    """What is known of one run."""

    folder: RunFolder
    stage: Stage
    settings: Mapping[str, Any]
    """config.yaml as plain values."""
    parts: Mapping[str, str]
    """Group -> the part chosen in it."""
    series: Mapping[str, Curve]
    """Metric -> its finite values by step."""
    result: Mapping[str, Any] = field(default_factory=dict)
    receipt: Mapping[str, Any] = field(default_factory=dict)
    rollbacks: list[Mapping[str, Any]] = field(default_factory=list)
    """The times that the run went back."""
    diagnosis: Mapping[str, Any] = field(default_factory=dict)
    """Why it gave up."""
    samples: str = ""
    """samples.md."""
    parameters: int | None = None
    """Of its model, where a description says so."""
    probe: Probe | None = None
    """What was measured of its model; None where nobody has."""
    not_probed: str = "the model was not opened; prospero doctor run=... does"
    """Why there is no probe."""

    def curve(self, name: str, why: str = "") -> Curve:
        """Return a metric's course; CannotJudge when there is none."""
        found = self.series.get(name, [])
        if not found:
            raise CannotJudge(why or f"metrics.csv has no {name}")
        return found

    def setting(self, name: str) -> Any:
        """Return a setting by its dotted name; None where the run has none of that name."""
        value: Any = self.settings
        for key in name.split("."):
            if not isinstance(value, Mapping) or key not in value:
                return None
            value = value[key]
        return value

    @property
    def steps(self) -> int:
        """Optimiser steps taken, as far as rows tell."""
        return max((curve[-1][0] for curve in self.series.values() if curve), default=0)

    @property
    def tokens(self) -> int:
        """Tokens trained on."""
        curve = self.series.get("tokens", [])
        return int(curve[-1][1]) if curve else 0

    @property
    def tokens_per_step(self) -> int:
        """Of the global batch."""
        return int(self.setting("global_batch_size") or 0) * int(self.setting("seq_len") or 0)

    @property
    def planned_steps(self) -> int | None:
        """Steps that the settings ask for; None where the clock or operations end the run."""
        asked = [self.setting("max_steps")]
        if self.setting("max_tokens") and self.tokens_per_step:
            asked.append(math.ceil(self.setting("max_tokens") / self.tokens_per_step))
        known = [int(value) for value in asked if value]
        return min(known) if known else None

    @property
    def of_likelihood(self) -> bool:
        """Whether its loss is made of nats a token: other losses (rewards, preferences) have other courses."""
        return bool(self._losses) and self._losses <= LIKELIHOODS

    @property
    def _losses(self) -> set[str]:
        """The losses by name; of before there could be several, the one."""
        losses = self.setting("loss")
        named = set(losses) if isinstance(losses, Mapping) else set()
        return {self.parts["loss"]} if "loss" in self.parts else named

    @property
    def from_scratch(self) -> bool:
        """Whether all weights were drawn at random, and all are trained."""
        adapter = self.parts.get("adapter", "none")
        return self.setting("init_from") is None and adapter == "none"

    def needs_steps(self, least: int) -> None:
        """Raise CannotJudge where the run has taken fewer steps."""
        if self.steps < least:
            raise CannotJudge(f"{self.steps} steps are too few ({least})")

    def needs_likelihood(self) -> None:
        """Raise CannotJudge where the loss is not one of nats a token."""
        if not self.of_likelihood:
            raise CannotJudge(f"loss={','.join(sorted(self._losses))} has another course")


def read_record(path: Path, stage: Stage | None = None) -> RunRecord:
    """Return what the run in the folder `path` has written so far; DataError where there is no config.yaml.

    `stage` is given by the run itself, which still holds its folder when it ends.
    """
    folder = RunFolder(path)
    if not folder.config.is_file():
        raise DataError(f"{path} is no run: it has no {folder.config.name}; give the folder or the name of a run")
    result, diagnosis = read_result(path), _table(folder.diagnosis)
    series = {name: finite(curve) for name, curve in metric_series(folder.metrics).items()}
    samples = folder.samples.read_text(encoding="utf-8", errors="replace") if folder.samples.is_file() else ""
    return RunRecord(
        folder=folder,
        stage=stage or _stage(folder, result, diagnosis),
        settings=read_config(folder.config),
        parts=read_parts(folder.config),
        series={name: curve for name, curve in series.items() if curve},
        result=result,
        receipt=_table(folder.receipt),
        rollbacks=_list(folder.rollbacks),
        diagnosis=diagnosis,
        samples=samples,
    )


def _stage(folder: RunFolder, result: Mapping[str, Any], diagnosis: Mapping[str, Any]) -> Stage:
    if is_held(folder.path):
        return Stage.training
    if result:
        ends = {Status.stopped.value: Stage.stopped, Status.pruned.value: Stage.pruned}
        return ends.get(str(result.get("status")), Stage.ended)
    return Stage.diverged if diagnosis else Stage.broken_off


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def _table(path: Path) -> Mapping[str, Any]:
    found = _json(path)
    return found if isinstance(found, dict) else {}


def _list(path: Path) -> list[Mapping[str, Any]]:
    found = _json(path)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
