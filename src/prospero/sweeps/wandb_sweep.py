"""A sweep in W&B's own form: its YAML, of which W&B's server makes trials and `wandb agent` runs them.

Every trial is `python train.py <fixed words> logger=wandb <swept words>`, as typed by hand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from prospero.configuration.swept import Choices, Numbers, Space
from prospero.errors import ConfigError

MOST_LISTED = 1000
"""A range of so many numbers is given to W&B as a list, a longer one as an interval with a step."""


class Method(Enum):
    """How W&B chooses the values of a trial."""

    grid = "grid"
    random = "random"
    bayes = "bayes"


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPlan:
    """A sweep for W&B."""

    space: Space
    fixed: Sequence[str]
    """Words of every trial's command."""
    program: Sequence[str]
    """What starts a training: the words after the interpreter."""
    metric: str
    goal: str
    """minimize or maximize."""
    project: str
    entity: str | None = None
    name: str | None = None
    method: Method | None = None
    """None: grid where every setting has a list of values, else bayes."""
    trials: int | None = None
    """Trials at most."""

    def yaml(self) -> dict[str, Any]:
        """Return what W&B's YAML holds; ConfigError where the method cannot do what is asked."""
        parameters = {name: parameter(found) for name, found in self.space.items()}
        endless = [name for name, found in parameters.items() if "values" not in found]
        method = self.method or (Method.bayes if endless else Method.grid)
        if endless and method is Method.grid:
            raise ConfigError(
                f"method=grid: {endless[0]} has no list of values; write {endless[0]}=a,b,c, or leave method= out"
            )
        head: dict[str, Any] = {"project": self.project, "entity": self.entity, "name": self.name}
        head |= {"program": self.program[-1], "method": method.value, "run_cap": self.trials}
        head |= {"metric": {"name": self.metric, "goal": self.goal}, "parameters": parameters}
        command = ["${env}", "${interpreter}", *self.program, *self.fixed, "${args_no_hyphens}"]
        return {key: value for key, value in head.items() if value is not None} | {"command": command}


def parameter(found: Choices | Numbers) -> dict[str, Any]:
    """Return a swept setting as W&B writes it: a list of values, or a distribution with its ends."""
    if isinstance(found, Choices):
        return {"values": [_number_or_text(text) for text in found.values]}
    ends: Mapping[str, float] = {"min": found.low, "max": found.high}
    if found.log:
        return {"distribution": "q_log_uniform_values", "q": 1, **ends} if found.whole else {
            "distribution": "log_uniform_values", **ends,
        }  # fmt: skip
    if found.step is None:
        return {"distribution": "int_uniform" if found.whole else "uniform", **ends}
    if (found.high - found.low) / found.step < MOST_LISTED:
        return {"values": found.all()}
    return {"distribution": "q_uniform", "q": found.step, **ends}


def _number_or_text(text: str) -> int | float | str:
    """Return a choice as a number where that is written the same, so that W&B can draw it along an axis."""
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if str(number) == text:
            return number
    return text
