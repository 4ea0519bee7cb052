"""What every analysis stands on: the network that it looks into, and whole parameters where they are spread."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from prospero.errors import ConfigError
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.measurement import Measurement, Subject
from prospero.model.base import LanguageModel
from prospero.spread import is_spread


class Analysis(Measurement):
    """A measurement of what happens inside a network."""

    needs_model = True
    judged = False

    def __init__(self, name: str) -> None:
        self.name = name

    def item_text(self, record: Mapping[str, Any]) -> str:
        """None: what an analysis reads may well be training text."""
        return ""


def model_of(subject: Subject) -> LanguageModel:
    """Return the network; ConfigError for one that cannot be opened."""
    if subject.model is None:
        raise ConfigError(f"{subject.name} cannot be opened; give the run, a checkpoint or a model folder")
    return subject.model


def whole(parameter: Tensor) -> Tensor:
    """Return a parameter, gathered from all processes where it is spread (a collective then), without its gradient."""
    value = parameter.detach()
    return value.full_tensor() if is_spread(value) else value


def rows_tensor(rows: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """Return rows of equal length as int64 [B, T]."""
    return torch.tensor([list(row) for row in rows], dtype=torch.long, device=device)


def needs_attention(name: str, facts: AnalysisFacts) -> None:
    """Raise ConfigError where the model has no attention to look at."""
    if facts.n_heads is None:
        raise ConfigError(f"analyses.{name} looks at attention, and a model={facts.model_kind} has none; leave it out")
