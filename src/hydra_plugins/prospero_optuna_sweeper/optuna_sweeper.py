"""`hydra/sweeper=optuna`: a search that learns from its trials, on Optuna's ask and tell.

Every trial is a job of the process launcher. A trial that a killed sweep left running is continued in its folder by the
same command, under the same number; trials already told are kept in the journal.
"""

import math
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.prospero_process_launcher.judging import direction_of, metric_of, monitor_of
from prospero.configuration.swept import chosen_from, probes, split
from prospero.configuration.words import for_hydra
from prospero.errors import ConfigError
from prospero.sweeps.study import Pruner, StudySettings, require_optuna, sampler_for

if TYPE_CHECKING:
    from prospero.sweeps.sweep import Sweep


@dataclass
class OptunaSweeperConf(StudySettings):
    """Settings of the search, as hydra.sweeper.*; how many trials run side by side is hydra.launcher.slots."""

    _target_: str = "hydra_plugins.prospero_optuna_sweeper.optuna_sweeper.OptunaSweeper"
    params: dict[str, str] = field(default_factory=dict)
    """Searched settings from a YAML file, setting -> values as on the command line, which goes before them."""


ConfigStore.instance().store(group="hydra/sweeper", name="optuna", node=OptunaSweeperConf, provider="prospero")


class OptunaSweeper(Sweeper):
    """Asks for trials while slots are free, tells how they ended, and closes with the table and the best command."""

    def __init__(self, params: dict[str, str] | None = None, **settings: Any) -> None:
        self.params, self.given = params or {}, settings

    def setup(self, *, hydra_context: Any, task_function: Any, config: DictConfig) -> None:
        """Keep what Hydra hands over and make the launcher."""
        self.hydra_context: Any = hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run the search; leaves by SystemExit when a signal ended it, or when no trial came to an end."""
        from hydra_plugins.prospero_grid_sweeper.grid_sweeper import checked_launcher
        from hydra_plugins.prospero_optuna_sweeper import search_space

        settings = StudySettings(**self.given)
        launcher: Any = checked_launcher(self.launcher, "optuna")
        require_optuna()
        params = for_hydra("train", [f"{key}={value}" for key, value in self.params.items()], swept=True)
        arguments = [*params, *arguments]
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        fixed, swept = split(parser.parse_overrides(arguments))
        if not swept:
            raise ConfigError(
                "hydra/sweeper=optuna: no setting is searched; write for example "
                "'optimizer.lr=tag(log,interval(1e-4,1e-2))' or model=tiny,small"
            )
        chosen = {key: chosen_from(override) for key, override in swept.items()}
        space = {key: search_space.distribution(found) for key, found in chosen.items()}
        sampler_for(settings, 0, space)  # says now what it lacks
        # Composing finds mistakes before the first trial starts.
        settings = judged(settings, [launcher.compose(words) for words in probes(fixed, chosen)])
        devices = launcher.devices(fixed)
        _hint_at_pruning(launcher.compose(fixed), settings.pruner)
        identity = {key: value for key, value in asdict(settings).items() if key != "n_trials"}
        sweep = launcher.open_sweep(overrides=arguments, sweeper="optuna", settings=identity)
        with sweep.closing():
            search = Search(sweep, settings, fixed, space, devices)
            search.run()
        search.say_best()
        if sweep.runner.signal or not search.completed:
            raise SystemExit(sweep.exit_code or 1)


def judged(settings: StudySettings, configs: Sequence[DictConfig]) -> StudySettings:
    """Return the settings with the direction of what is optimised, for trials of these configurations.

    ConfigError when the trials do not measure it, when the direction given is not the metric's, or when no metric tells
    it and none is given.
    """
    setting, name = "hydra.sweeper.metric", settings.metric
    if name is None:
        setting, name = "monitor", monitor_of(configs)
    known = direction_of(setting, name, configs) if metric_of(name) else None
    direction = settings.direction or known
    if direction is None:
        raise ConfigError(
            f"hydra.sweeper.metric={name} is no number of a validation, which would say whether more is better; "
            "give hydra.sweeper.direction=minimize or maximize"
        )
    if known not in (None, direction):
        raise ConfigError(f"hydra.sweeper.direction={direction}, but {name} is to {known}; leave the direction out")
    if settings.pruner != Pruner.none.value and not name.startswith("val/"):
        watched = monitor_of(configs)
        if direction_of("monitor", watched, configs) != direction:
            raise ConfigError(
                f"{setting}={name} is not measured during training, and {watched} says nothing about what is to "
                f"{direction}; give hydra.sweeper.pruner=none"
            )
    return replace(settings, direction=direction)


class Search:
    """The study of a sweep: trials out, results back."""

    def __init__(self, sweep: "Sweep", settings: Any, fixed: list[str], space: dict[str, Any], devices: int) -> None:
        from prospero.sweeps.study import JOURNAL_FILE, open_study

        sweep.varied = frozenset(space)
        self.sweep, self.settings, self.fixed, self.space, self.devices = sweep, settings, fixed, space, devices
        self.journal = sweep.folder.path / JOURNAL_FILE
        self.study = open_study(self.journal, settings)
        self.completed = 0

    def run(self) -> None:
        """Go on with the trials of before, then ask for new ones."""
        jobs = [self._job(trial) for trial in self._trials()]
        left: list[Any] = []
        for job in jobs:
            before = self.sweep.folder.result_of(job)
            if before is None:
                left.append(job)
            else:
                self.sweep.results.append(self._with_objective(before))
                self._tell(before)
        self.sweep.announce(f"{self.settings.n_trials} trials")
        self.sweep.run(self._jobs(left), self._ended)

    def _jobs(self, left: list[Any]) -> Iterator[Any]:

        yield from left
        while (count := len(self._trials())) < self.settings.n_trials:
            if self.settings.sampler == "grid" and count >= self._grid_size():
                return
            number = len(self.study.get_trials(deepcopy=False))
            teller, self.study.sampler = self.study.sampler, sampler_for(self.settings, number, self.space)
            trial = self.study.ask(self.space)
            self.study.sampler = teller  # GridSampler wants to end a loop that is not Optuna's when it is told
            yield self._job(trial)

    def _trials(self) -> list[Any]:
        """The trials so far, but for one whose asking was cut short by a kill."""
        return [trial for trial in self.study.get_trials(deepcopy=False) if trial.params.keys() == self.space.keys()]

    def _grid_size(self) -> int:
        from prospero.sweeps.study import grid_of

        return math.prod(len(values) for values in grid_of(self.space).values())

    def _job(self, trial: Any) -> Any:
        from hydra_plugins.prospero_optuna_sweeper.search_space import text_of
        from prospero.sweeps.job import Job
        from prospero.sweeps.study import trial_environment

        words = [*self.fixed, *(f"{key}={text_of(value)}" for key, value in trial.params.items())]
        return Job(
            number=trial.number,
            overrides=words,
            folder=self.sweep.folder.path / str(trial.number),
            devices=self.devices,
            environment=trial_environment(self.journal, trial.number, self.settings),
        )

    def _ended(self, result: Any) -> None:
        self._with_objective(result)
        self._tell(result)

    def _with_objective(self, result: Any) -> Any:
        """Put the metric that is optimised in the place of the run's own objective."""
        from prospero.errors import ConfigError, suggest

        name = self.settings.metric
        if name is None or not result.metrics:
            return result
        value = result.metrics.get(name)
        if not isinstance(value, int | float):
            numbers = [key for key, found in result.metrics.items() if isinstance(found, int | float)]
            raise ConfigError(
                f"hydra.sweeper.metric={name} is not among the results of a run.{suggest(name, numbers)} "
                f"There are: {', '.join(numbers)}."
            )
        result.metrics |= {"objective": value, "objective_name": name, "objective_direction": self.settings.direction}
        return result

    def _tell(self, result: Any) -> None:
        """Write the end of a trial into the journal; a stopped one stays running there and is continued later."""
        from optuna.trial import TrialState

        from prospero.runs.result import Status

        number, value = result.job.number, result.objective
        finite = value is not None and math.isfinite(value)
        if result.status is Status.done and finite:
            self.completed += 1
            self.study.tell(number, value, skip_if_finished=True)
        elif result.status is Status.pruned:
            reported = self.study.get_trials(deepcopy=False)[number].intermediate_values
            state = TrialState.PRUNED if reported else TrialState.FAIL
            self.study.tell(number, state=state, skip_if_finished=True)
        elif result.status in (Status.done, Status.failed):
            self.study.tell(number, state=TrialState.FAIL, skip_if_finished=True)

    def say_best(self) -> None:
        """Print the best trial as a command that trains it again."""
        from prospero.runs.result import Status
        from prospero.sweeps.job import program
        from prospero.sweeps.table import jobs_best_first

        best = next(iter(jobs_best_first(self.sweep.results)), None)
        if best is None or best.status is not Status.done or best.objective is None:
            return
        words = program()
        start = ["python", *words] if words[0] == "-m" else ["python", Path(words[0]).name]
        name = best.metrics.get("objective_name", "objective")
        print(f"best: trial {best.job.number}, {name} {best.objective:.4f}", flush=True)
        print("    " + shlex.join([*start, *best.job.label()]), flush=True)


def _hint_at_pruning(cfg: DictConfig, pruner: str) -> None:
    """Say when nothing can be pruned because runs are validated at their end only."""
    steps, every = OmegaConf.select(cfg, "max_steps"), OmegaConf.select(cfg, "trainer.val_every_steps")
    if pruner != "none" and steps and every is not None and (every == 0 or every >= steps):
        print(
            f"note: no trial will be pruned: a run of max_steps={steps} is validated at its end only; "
            f"give trainer.val_every_steps={max(1, steps // 6)} or so",
            flush=True,
        )
