"""In which shares the parts of a joined corpus are read: what decides the order of training, and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixing:
    """The weights of the parts over the steps, and where each part ends."""

    names: tuple[str, ...]
    stages: tuple[tuple[int, tuple[float, ...]], ...]
    """(the step from which on, the weight of each part), by rising steps, the first from step 0 on."""
    max_epochs: tuple[float | None, ...]
    """Passes over each part; None for no end."""
    temperature: float | None = None
    """T of tokens^(1/T), by which weights are multiplied; None for the weights alone."""

    def plain(self) -> dict[str, Any]:
        """Return plain values for a checkpoint, which tell by name what has changed."""
        return {
            "weights": {f"step {step}": dict(zip(self.names, weights)) for step, weights in self.stages},
            "max_epochs": dict(zip(self.names, self.max_epochs)),
            "temperature": self.temperature,
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Mixing":
        """Return what `plain` was written from."""
        names = tuple(plain["max_epochs"])
        stages = [(int(key.removeprefix("step ")), weights) for key, weights in plain["weights"].items()]
        return cls(
            names=names,
            stages=tuple((step, tuple(weights[name] for name in names)) for step, weights in stages),
            max_epochs=tuple(plain["max_epochs"].values()),
            temperature=plain["temperature"],
        )
