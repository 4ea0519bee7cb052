"""The rows of two runs, digit for digit: the first cell that differs, clocks left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prospero.runs.metrics import is_clock

Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Cell:
    """A number that is not the same in both runs; None where one has none."""

    step: int
    column: str
    then: str | None
    now: str | None

    def __str__(self) -> str:
        then, now = self.then or "nothing", self.now or "nothing"
        return f"step {self.step}, {self.column}: {then} then, {now} now{_distance(self.then, self.now)}"


@dataclass(frozen=True, slots=True)
class Digits:
    """What comparing the rows has given."""

    rows: int
    """Rows of then that were compared."""
    cells: int
    """Numbers of then that were compared."""
    last_step: int
    """The last step of those rows."""
    first: Cell | None
    """The first that differs, by step and then by column; None when none does."""
    differing: int
    """Numbers that differ."""


@dataclass(frozen=True, slots=True)
class WeightsCompared:
    """What comparing two sets of weights has given."""

    what: str
    """Which weights they are."""
    tensors: int
    """Tensors of then."""
    hash_then: str
    hash_now: str
    """SHA-256 over name, type, shape and bytes of every tensor, however they are spread over files."""
    differing: list[str]
    """The tensors that are not the same, those that only one has among them, by name."""
    largest: float
    """The greatest distance between two numbers of tensors of one shape; 0 when there is none."""

    @property
    def equal(self) -> bool:
        """Whether every bit of every tensor is the same."""
        return self.hash_then == self.hash_now

    def __str__(self) -> str:
        if self.equal:
            return f"{self.what}: the same, {self.tensors} tensors, sha256 {self.hash_then[:12]}"
        return (
            f"{self.what}: {len(self.differing)} of {self.tensors} tensors differ, by up to {self.largest:.2g} (first "
            f"{self.differing[0]}); sha256 {self.hash_then[:12]} then, {self.hash_now[:12]} now"
        )


def compare_rows(then: Sequence[Row], now: Sequence[Row], *, until: int | None = None) -> Digits:
    """Compare the cells of two metrics.csv as text, so to the last digit; columns that are clocks are left out.

    Up to step `until`, where the repetition ends early: its end validates and tests, which the other run did later, so
    that what the repetition alone has in that last row is no difference.
    """
    theirs = {int(row["step"]): row for row in then if until is None or int(row["step"]) <= until}
    ours = {int(row["step"]): row for row in now if until is None or int(row["step"]) <= until}
    found: list[Cell] = []
    cells = 0
    for step in sorted({*theirs, *ours}):
        before, after = _without_clocks(theirs.get(step, {})), _without_clocks(ours.get(step, {}))
        cells += len(before)
        names = before if step == until else {**before, **after}
        found += [
            Cell(step, name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)
        ]
    return Digits(len(theirs), cells, max(theirs, default=0), found[0] if found else None, len(found))


def _without_clocks(row: Row) -> dict[str, str]:
    return {name: cell for name, cell in row.items() if name != "step" and not is_clock(name)}


def _distance(then: str | None, now: str | None) -> str:
    if then is None or now is None:
        return ""
    return f" (by {abs(float(then) - float(now)):.2g})"
