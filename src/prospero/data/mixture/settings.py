"""The settings of a mixture: its parts, and how much of each step every one of them gets."""

from dataclasses import dataclass, field
from typing import Any

from prospero.data.mixture.mixing import Mixing
from prospero.data.mixture.parts import MixturePartConfig
from prospero.data.parts import SourceSettings
from prospero.data.sources.source import Source, SourceConfig
from prospero.errors import ConfigError, suggest

MOST_PARTS = 64
"""Sources that the loss is shown of, and so parts of a mixture."""
STAGE = ("step", "weights")
"""The settings of an entry of the schedule."""


@dataclass(kw_only=True, slots=True)
class MixtureConfig(SourceConfig):
    """Several corpora, each prepared by itself with one tokenizer, read in given shares."""

    parts: list[MixturePartConfig] = field(default_factory=list)
    """The corpora: [{data: stdlib_docs, weight: 1}, {data: stdlib, weight: 3}]; each is a choice of data= with its own
    settings, and name, weight and max_epochs."""
    temperature: float | None = None
    """T: weights are multiplied by tokens^(1/T) of the part. 1 is by size, larger is nearer to equal shares; null: the
    weights alone."""
    schedule: list[dict[str, Any]] = field(default_factory=list)
    """Other weights from an optimiser step on: [{step: 1000, weights: {stdlib: 1}}], by rising steps; a part that is
    left out keeps its weight."""

    def __post_init__(self) -> None:
        SourceConfig.__post_init__(self)
        if len(self.parts) > MOST_PARTS:
            raise ConfigError(f"{len(self.parts)} parts are too many; give {MOST_PARTS} or fewer")
        names = [part.called for part in self.parts]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ConfigError(f"two parts are called '{twice}'; give one of them another with name:")
        self._check_names(names)
        self._check_schedule(names)
        if self.temperature is not None and not 0 < self.temperature < float("inf"):
            raise ConfigError(f"temperature={self.temperature} is impossible; give a number above 0, or null")
        if self.canaries.count or any(part.settings.canaries.count for part in self.parts):
            raise ConfigError("canaries are planted into one corpus; leave canaries.count out, or train on one source")

    def _check_names(self, names: list[str]) -> None:
        for name in names:
            if not name or any(sign in name for sign in " \t\n,/=."):
                raise ConfigError(f"'{name}' cannot be the name of a part: it becomes part of train/loss/<name>")

    def _check_schedule(self, names: list[str]) -> None:
        before = 0
        for place, stage in enumerate(self.schedule):
            where = f"data.schedule[{place}]"
            _check_keys(where, stage)
            step, weights = stage["step"], stage["weights"]
            if not isinstance(step, int) or step <= before:
                raise ConfigError(f"{where}.step={step} is no whole number above {before}; write them by rising steps")
            for name, weight in weights.items():
                if name not in names:
                    near = suggest(str(name), names)
                    raise ConfigError(f"{where}: no part is called '{name}'.{near} Parts: {', '.join(names)}.")
                if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
                    raise ConfigError(f"{where}.weights.{name}={weight} is no share; give 0 or a number above 0")
            before = step
        for step, weights in self.mixing().stages:
            if self.parts and not any(weights):
                raise ConfigError(f"all weights are 0 from step {step} on; give at least one part a share")

    def build(self) -> Source:
        """Refuse: what reads one source cannot read several."""
        raise ConfigError("data=mixture is several corpora, and one is read here; choose one of them with data=")

    def mixing(self) -> Mixing:
        """Return what decides in which order the parts' sequences are read."""
        weights = {part.called: float(part.weight) for part in self.parts}
        stages = [(0, tuple(weights.values()))]
        for stage in self.schedule:
            weights |= {name: float(weight) for name, weight in stage["weights"].items()}
            stages.append((stage["step"], tuple(weights.values())))
        ends = tuple(part.max_epochs for part in self.parts)
        return Mixing(names=tuple(weights), stages=tuple(stages), max_epochs=ends, temperature=self.temperature)


def mixing_of(data: SourceSettings) -> Mixing | None:
    """Return in which shares a choice of data= reads its parts; None for one corpus."""
    return data.mixing() if isinstance(data, MixtureConfig) else None


def _check_keys(where: str, stage: dict[str, Any]) -> None:
    """Raise ConfigError unless an entry of the schedule has a step and a table of weights, and nothing else."""
    for key in stage:
        if key not in STAGE:
            near = suggest(str(key), STAGE).replace("'", f"'{where}.", 1)
            raise ConfigError(f"There is no setting '{where}.{key}'.{near or ' Allowed: ' + ', '.join(STAGE) + '.'}")
    if set(stage) != set(STAGE) or not isinstance(stage["weights"], dict):
        raise ConfigError(f"{where}={stage} is no change of weights; write {{step: 1000, weights: {{<part>: 1}}}}")
