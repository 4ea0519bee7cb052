"""A search as an Optuna study in a journal file: asked by the sweep, reported to by its jobs.

The journal is a file of one line a change, so a study survives a kill at any moment, needs no database, and can be
opened by a job in a process of its own. Optuna is an extra and is imported late.
"""

import importlib.util
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prospero.errors import ConfigError, suggest

if TYPE_CHECKING:
    import optuna

STUDY_NAME = "sweep"
JOURNAL_FILE = "study.journal"
TRIAL_VARIABLE = "PROSPERO_TRIAL"
"""Tells a job which trial of which study it is: {"journal": ..., "number": ..., "settings": {...}} as JSON."""
INSTALL = 'hydra/sweeper=optuna needs Optuna 4 or later; install it with: pip install -e ".[sweep]"'


class Sampler(Enum):
    """Who proposes the next trial."""

    tpe = "tpe"
    random = "random"
    grid = "grid"
    cmaes = "cmaes"


class Pruner(Enum):
    """Who ends a trial that falls behind."""

    none = "none"
    successive_halving = "successive_halving"
    hyperband = "hyperband"


@dataclass(kw_only=True, slots=True)
class StudySettings:
    """How a study samples, prunes and counts; plain values, so that they can be handed to a job."""

    n_trials: int = 20
    """Trials in all."""
    sampler: str = "tpe"
    """Who proposes the next trial: tpe, random, grid, cmaes."""
    pruner: str = "successive_halving"
    """Who ends a trial that falls behind: successive_halving, hyperband, none; it looks at every validation."""
    seed: int = 1
    """Seed of the proposals; the runs have their own."""
    metric: str | None = None
    """What is optimised, by its name in result.json; null is the run's objective, the number that `monitor` names."""
    direction: str | None = None
    """minimize or maximize; null is what the metric says, and has to be given for a number of no metric."""
    min_tokens: int | None = None
    """Training tokens before the first pruning; null is 1 % of the first completed trial."""
    reduction_factor: int = 4
    """One in so many trials passes each rung, and a rung is so many times longer than the one before."""

    def __post_init__(self) -> None:
        if self.n_trials < 1:
            raise ConfigError(f"hydra.sweeper.n_trials={self.n_trials} must be at least 1")
        for name, allowed in (
            ("sampler", [item.value for item in Sampler]),
            ("pruner", [item.value for item in Pruner]),
            ("direction", ["minimize", "maximize"]),
        ):
            value = getattr(self, name)
            if value not in allowed and not (name == "direction" and value is None):
                raise ConfigError(
                    f"hydra.sweeper.{name}={value} is not possible.{suggest(str(value), allowed)} "
                    f"Allowed: {', '.join(allowed)}."
                )
        if self.reduction_factor < 2:
            raise ConfigError(f"hydra.sweeper.reduction_factor={self.reduction_factor} must be at least 2")
        if self.min_tokens is not None and self.min_tokens < 1:
            raise ConfigError(f"hydra.sweeper.min_tokens={self.min_tokens} must be at least 1, or null")
        if self.pruner == Pruner.hyperband.value and self.min_tokens is None:
            raise ConfigError(
                "hydra.sweeper.pruner=hyperband needs hydra.sweeper.min_tokens, the tokens of its first rung"
            )
        if self.seed < 0:
            raise ConfigError(f"hydra.sweeper.seed={self.seed} must not be negative")

    @property
    def maximize(self) -> bool:
        """Whether the larger objective is the better one."""
        return self.direction == "maximize"


def require_optuna() -> None:
    """Raise ConfigError with the command that installs Optuna when it is not there or too old."""
    try:
        import optuna
    except ModuleNotFoundError as error:
        if error.name != "optuna":
            raise
        raise ConfigError(INSTALL) from error
    if int(optuna.__version__.partition(".")[0]) < 4:
        raise ConfigError(f"{INSTALL} (found {optuna.__version__})")


def _storage(journal: Path) -> "optuna.storages.JournalStorage":
    from optuna.storages import JournalStorage

    from prospero.sweeps.journal import PatientJournal

    return JournalStorage(PatientJournal(journal))


def open_study(journal: Path, settings: StudySettings) -> "optuna.Study":
    """Return the study of a journal, made when it is not there yet; a line that a kill cut short is dropped."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    _drop_cut_line(journal)
    return optuna.create_study(
        storage=_storage(journal),
        study_name=STUDY_NAME,
        direction="maximize" if settings.maximize else "minimize",
        sampler=optuna.samplers.RandomSampler(settings.seed),  # each ask brings its own, see `sampler_for`
        pruner=make_pruner(settings),
        load_if_exists=True,
    )


def _drop_cut_line(journal: Path) -> None:
    if not journal.is_file():
        return
    data = journal.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(journal, whole)


def sampler_for(
    settings: StudySettings, number: int, space: Mapping[str, "optuna.distributions.BaseDistribution"]
) -> "optuna.samplers.BaseSampler":
    """Return the sampler of one trial, seeded by (seed, number): a killed study goes on the same."""
    import optuna

    seed = settings.seed * 1_000_003 + number
    if settings.sampler == Sampler.tpe.value:
        return optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    if settings.sampler == Sampler.random.value:
        return optuna.samplers.RandomSampler(seed)
    if settings.sampler == Sampler.grid.value:
        return optuna.samplers.GridSampler(grid_of(space), seed=settings.seed)
    if importlib.util.find_spec("cmaes") is None:
        raise ConfigError("hydra.sweeper.sampler=cmaes needs the package cmaes: pip install cmaes")
    return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)


def grid_of(space: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return every value of every setting; ConfigError for a setting whose values cannot be counted."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    grid: dict[str, list[Any]] = {}
    for name, values in space.items():
        if isinstance(values, CategoricalDistribution):
            grid[name] = list(values.choices)
        elif isinstance(values, IntDistribution) and not values.log:
            grid[name] = list(range(values.low, values.high + 1, values.step))
        elif isinstance(values, FloatDistribution) and values.step is not None:
            count = round((values.high - values.low) / values.step) + 1
            grid[name] = [values.low + i * values.step for i in range(count)]
        else:
            raise ConfigError(
                f"{name} is an interval, which hydra.sweeper.sampler=grid cannot count; list values: {name}=a,b,c"
            )
    return grid


def make_pruner(settings: StudySettings) -> "optuna.pruners.BasePruner":
    """Return the pruner; its resource is training tokens."""
    import optuna

    if settings.pruner == Pruner.none.value:
        return optuna.pruners.NopPruner()
    if settings.pruner == Pruner.hyperband.value:
        assert settings.min_tokens is not None
        return optuna.pruners.HyperbandPruner(settings.min_tokens, reduction_factor=settings.reduction_factor)
    return optuna.pruners.SuccessiveHalvingPruner(
        min_resource=settings.min_tokens or "auto", reduction_factor=settings.reduction_factor
    )


def trial_environment(journal: Path, number: int, settings: StudySettings) -> dict[str, str]:
    """Return the variables that make a job report to its trial."""
    told = {"journal": str(journal), "number": number, "settings": asdict(settings)}
    return {TRIAL_VARIABLE: json.dumps(told)}


def trial_of_environment() -> "tuple[optuna.trial.Trial, StudySettings] | None":
    """Return the trial that this process is, rebuilt from the journal, or None outside such a sweep."""
    told = os.environ.get(TRIAL_VARIABLE)
    if not told:
        return None
    require_optuna()
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    values = json.loads(told)
    settings = StudySettings(**values["settings"])
    study = optuna.load_study(
        study_name=STUDY_NAME,
        storage=_storage(Path(values["journal"])),
        sampler=optuna.samplers.RandomSampler(0),  # asks nothing: the parameters are settled
        pruner=make_pruner(settings),
    )
    frozen = next(trial for trial in study.get_trials(deepcopy=False) if trial.number == values["number"])
    return optuna.trial.Trial(study, frozen._trial_id), settings
