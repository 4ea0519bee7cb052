"""What a rule says of a run: nothing, one finding, or that it cannot judge."""

from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    """How much it matters."""

    problem = 3
    """The run is spoilt, or most of its time is."""
    warning = 2
    """It would come out better, or sooner."""
    note = 1
    """Worth knowing; nothing need be changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a rule has found."""

    rule: str
    """The rule's name, as in docs/DOCTOR.md."""
    severity: Severity
    what: str
    """What is the matter, in a few words."""
    number: float
    """What was measured."""
    unit: str
    """What the number counts."""
    limit: float
    """The number from which the rule speaks."""
    source: str
    """Where the rule comes from."""
    advice: str
    """What to change."""

    @property
    def line(self) -> str:
        """All but the source, in one line."""
        return f"{self.what}: {shown(self.number)} {self.unit} (limit {shown(self.limit)}); {self.advice}"


class CannotJudge(Exception):
    """Why a rule says nothing of this run: what it would have to know is not there."""


def shown(value: float) -> str:
    """Return a number with three digits, large ones with commas."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
