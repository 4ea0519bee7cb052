"""What a repetition has come to, in words for the screen and as plain values for its folder."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from prospero.runs.repetition.digits import Digits, WeightsCompared
from prospero.runs.repetition.surroundings import Difference


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """A run beside its repetition."""

    of: Path
    """Folder of the run that was repeated."""
    place: Path
    """Folder of the repetition."""
    digits: Digits
    """Their metrics."""
    weights: list[WeightsCompared] = field(default_factory=list)
    """Their weights, of each kind that both have."""
    no_weights: str = ""
    """Why no weights were compared."""
    surroundings: list[Difference] = field(default_factory=list)
    """What differs in what they ran on."""
    notes: list[str] = field(default_factory=list)
    """What else may have moved a digit."""
    exit_code: int = 0
    """What the repetition left with."""

    @property
    def equal(self) -> bool:
        """Whether the repetition came to its end with every digit and every bit of the run's."""
        return self.digits.first is None and all(found.equal for found in self.weights) and not self.exit_code

    def text(self) -> str:
        """Return the verdict first, then the evidence, then what may be why."""
        compared = f"{self.digits.cells} numbers in {self.digits.rows} rows up to step {self.digits.last_step}"
        if self.digits.first is None:
            said = [f"metrics: the same digit for digit, {compared}"]
        else:
            said = [
                f"metrics: first differ at {self.digits.first}; {self.digits.differing} of {compared} differ in all"
            ]
        said += [str(found) for found in self.weights] or [f"weights: not compared, {self.no_weights}"]
        if self.exit_code:
            said.append(f"the repetition ended with exit code {self.exit_code}")
        head = "equal" if self.equal else "broken off" if self.exit_code > 128 else "differs"
        return "\n".join([f"{head}: {self.of} and its repetition {self.place}", *said, *self._causes()])

    def _causes(self) -> list[str]:
        differences = [*map(str, self.surroundings), *self.notes]
        if self.equal:
            return [f"although other than then: {'; '.join(differences)}"] if differences else []
        if differences:
            return [f"probable cause: {'; '.join(differences)}"]
        return ["no cause is known: nothing that the run wrote down of its surroundings is another now"]

    def plain(self) -> dict[str, Any]:
        """Return it for repetition.json."""
        return {
            "equal": self.equal,
            "of": str(self.of.resolve()),
            **asdict(self.digits),
            "weights": [asdict(found) | {"equal": found.equal} for found in self.weights],
            "no_weights": self.no_weights,
            "surroundings": [asdict(difference) for difference in self.surroundings],
            "notes": self.notes,
            "exit_code": self.exit_code,
        }
