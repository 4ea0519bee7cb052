"""All rules over one run: what they found, the worst first, and what could not be judged, and why."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prospero.errors import DataError
from prospero.runs.doctor.batch import batch_too_large, batch_too_small
from prospero.runs.doctor.course import overfit, spike
from prospero.runs.doctor.finding import CannotJudge, Finding, Severity
from prospero.runs.doctor.rate import rate_too_high, rate_too_low, sharp
from prospero.runs.doctor.record import RunRecord, Stage, read_record
from prospero.runs.doctor.samples import repeating_samples
from prospero.runs.doctor.text import padding, repeated_text, too_few_tokens
from prospero.runs.doctor.units import attention_sinks, dead_heads, dead_units
from prospero.runs.doctor.waiting import checkpoint_time, data_bound

Rule = Callable[[RunRecord], Finding | None]

RULES: tuple[Rule, ...] = (
    rate_too_high,
    rate_too_low,
    overfit,
    batch_too_small,
    dead_units,
    spike,
    data_bound,
    padding,
    dead_heads,
    sharp,
    batch_too_large,
    checkpoint_time,
    too_few_tokens,
    repeated_text,
    repeating_samples,
    attention_sinks,
)
"""Of findings that matter alike the first is named first: causes stand before what they bring about."""
BRIEF = 3
"""Findings that the end of a run says."""


@dataclass(frozen=True, slots=True)
class Examination:
    """What came of the rules."""

    run: RunRecord
    findings: list[Finding] = field(default_factory=list)
    """The worst first."""
    not_judged: dict[str, str] = field(default_factory=dict)
    """Rule -> why it says nothing."""
    judged: int = 0
    """Rules that could judge."""

    def plain(self) -> dict[str, Any]:
        """Return what doctor.json holds."""
        return {
            "run": str(self.run.folder.path),
            "stage": self.run.stage.name,
            "steps": self.run.steps,
            "findings": [_plain(finding) for finding in self.findings],
            "not_judged": self.not_judged,
            "checkpoint": None if self.run.probe is None else self.run.probe.checkpoint,
        }


def examine(run: RunRecord) -> Examination:
    """Ask every rule; the findings come ordered by how much they matter."""
    findings: list[Finding] = []
    not_judged: dict[str, str] = {}
    for rule in RULES:
        try:
            found = rule(run)
        except CannotJudge as error:
            not_judged[rule.__name__] = str(error)
            continue
        if found is not None:
            findings.append(found)
    findings.sort(key=lambda finding: -finding.severity.value)  # stable: the order of RULES among equals
    return Examination(run, findings, not_judged, len(RULES) - len(not_judged))


def brief(path: Path) -> list[str]:
    """Return at most three lines on the run that has just ended in the folder `path`, from its files alone.

    Files that cannot be read (the disk is full) are no reason for a run to fail at its end: the line says so.
    """
    try:
        found = examine(read_record(path, stage=Stage.ended))
    except DataError as error:
        return [f"doctor: {error}"]
    serious = [finding for finding in found.findings if finding.severity is not Severity.note][:BRIEF]
    if not serious:
        return [f"doctor: nothing was found by {found.judged} rules; prospero doctor run={path} looks into the model"]
    return [f"doctor: {finding.severity.name}: {finding.line}" for finding in serious]


def _plain(finding: Finding) -> dict[str, Any]:
    names = ("rule", "what", "number", "unit", "limit", "source", "advice")
    return {"severity": finding.severity.name} | {name: getattr(finding, name) for name in names}
