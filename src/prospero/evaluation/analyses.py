"""What the settings of an analysis are built with. The analyses themselves are in the room `analysis`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.errors import ConfigError
from prospero.evaluation.measurement import Measurement, Subject
from prospero.evaluation.tasks.parts import AnalysisSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisFacts:
    """The second argument of every analysis' `build`: what its host knows."""

    tokenizer: Tokenizer
    """The model's."""
    model_kind: str
    """What it is by the registry: transformer, lstm, gru, or a part of the user's."""
    n_layers: int
    """Blocks of the model."""
    n_heads: int | None = None
    """Attention heads of a block; None without attention."""
    seq_len: int | None = None
    """Tokens of a sequence in the model's training, or those that it reads at once; None where it is not known."""
    tokens: int | None = None
    """Tokens that the model was trained on so far, by its own training; None where it is not known."""
    data: Path | None = None
    """The folder of the prepared data that the model was trained on, where they are there."""
    run: Path | None = None
    """The run folder that the model comes from, where it lies in one."""
    seed: int = 1
    """Of whatever an analysis draws."""
    limit: int | None = None
    """Items an analysis has at most, unless its own `limit` says otherwise; None: what it has by itself."""
    outputs_dir: str = "outputs"
    """The folder that holds the runs and the prepared data."""
    training: bool = False
    """Whether it is done every so many steps of a training, where it should be short."""


def build_analyses(settings: Mapping[str, AnalysisSettings], facts: AnalysisFacts) -> list[Measurement]:
    """Return the analyses, their items known; ConfigError for one without items."""
    found = [part.build(name, facts) for name, part in settings.items()]
    for one in found:
        if one.size == 0:
            raise ConfigError(f"analyses.{one.name} has no item to measure")
    return found


def check_openable(measurements: list[Measurement], subject: Subject) -> None:
    """Raise ConfigError for a measurement that looks inside a model that cannot be opened."""
    for one in measurements:
        if one.needs_model and subject.model is None:
            raise ConfigError(
                f"{one.name} looks inside the network, and {subject.name} cannot be opened; give the run, a checkpoint "
                "or a model folder"
            )
