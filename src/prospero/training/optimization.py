"""How a module's model is trained: the settings of the steps, and what is found out of them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prospero.training.bounds import limit_of_steps, max_steps
from prospero.training.parts import OptimizerSettings, ScheduleSettings

if TYPE_CHECKING:
    from prospero.training.settings import TrainConfig


@dataclass(kw_only=True, slots=True)
class Optimization:
    """How a module's model is trained."""

    optimizer: OptimizerSettings
    schedule: ScheduleSettings
    total_steps: int
    """The horizon of the schedule, in optimiser steps."""
    limit: str = "max_steps"
    """The setting that `total_steps` comes from."""
    estimated: bool = False
    """Whether `total_steps` is refined as the run goes, because it ends by the clock."""
    max_grad_norm: float | None = 1.0
    """The gradient is scaled down to this global norm; None leaves it alone."""
    seed: int = 0
    """Of the noise in the steps."""
    compile: str = "off"
    """off, blocks (each of the model's, in place) or whole (model and objective as one graph); auto is off at first."""


def optimization_of(config: "TrainConfig", flops_per_token: float) -> Optimization:
    """Return how a run of these settings trains a model of which a token takes so many operations."""
    return Optimization(
        optimizer=config.optimizer,
        schedule=config.schedule,
        total_steps=max_steps(config, flops_per_token),
        limit=limit_of_steps(config, flops_per_token),
        estimated=config.limits()["max_minutes"] is not None,
        max_grad_norm=config.trainer.max_grad_norm,
        seed=config.seed,
        compile=config.trainer.compile_mode,
    )
