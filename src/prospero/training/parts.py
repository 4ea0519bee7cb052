"""What the groups of a training run ask of their parts: the settings, and what `.build` returns.

Nothing is imported at run time. Which part it is, the choice of a preset says; composing takes any.
"""

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from lightning import Callback
    from torch import nn
    from torch.optim import Optimizer

    from prospero.evaluation.metrics.base import MetricFacts, TokenMetric
    from prospero.evaluation.metrics.text_base import TextMetric
    from prospero.generation.sampling import SamplingConfig as SamplingSettings
    from prospero.model.adapters.base import Adapter
    from prospero.model.base import LanguageModel
    from prospero.objective.losses.base import Loss
    from prospero.objective.regularizers.base import Regularizer
    from prospero.optim.schedules.base import ScheduledLR
    from prospero.training.loggers.base import RunLogger
    from prospero.training.run_facts import RunFacts
    from prospero.training.trainer import TrainerConfig as TrainerSettings
else:
    SamplingSettings = TrainerSettings = Any  # groups of one class: an editor sees that one


class ModelSettings(Protocol):
    """The network."""

    def build(self, vocab_size: int, max_seq_len: int) -> "LanguageModel":
        """Return the network with its starting weights, drawn from torch's generator."""
        ...


class AdapterSettings(Protocol):
    """What of the network is trained, and what is added to it for that."""

    def build(self) -> "Adapter":
        """Return the adapter; it prepares the network before that is spread over processes."""
        ...


class LossSettings(Protocol):
    """What is minimised."""

    def build(self) -> "Loss":
        """Return the loss, a weighted sum over target tokens."""
        ...


Losses = dict[str, LossSettings]
"""Name -> loss. (A config.yaml of before there could be several holds one without a name: composing takes that too.)"""


class RegularizerSettings(Protocol):
    """A weighted term added to the loss."""

    def build(self) -> "Regularizer":
        """Return the term."""
        ...


class OptimizerSettings(Protocol):
    """The update rule."""

    def build(self, model: "nn.Module") -> "Optimizer":
        """Return the optimiser of all parameters of `model`, each once."""
        ...


class ScheduleSettings(Protocol):
    """The learning rate over the run."""

    def build(self, optimizer: "Optimizer", total_steps: int) -> "ScheduledLR":
        """Return the schedule over `total_steps` steps of the optimiser."""
        ...


class MetricSettings(Protocol):
    """What a validation measures."""

    def build(self, facts: "MetricFacts") -> "TokenMetric | TextMetric":
        """Return the metric, empty."""
        ...


class CallbackSettings(Protocol):
    """What happens beside the steps."""

    def build(self, run: "RunFacts") -> "Callback":
        """Return the callback; a `StepCallback` is told of optimiser steps instead of micro-steps."""
        ...


class LoggerSettings(Protocol):
    """Where metrics go besides metrics.csv."""

    def build(self, run: "RunFacts") -> "RunLogger":
        """Return the logger of one run."""
        ...
