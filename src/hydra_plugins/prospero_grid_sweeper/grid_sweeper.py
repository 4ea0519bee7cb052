"""`hydra/sweeper=grid`: every combination of the values given, as Hydra's own sweeper makes them.

Unlike that one it knows its folder before it begins, so a killed sweep is continued by the same command, and a failed
job neither ends the sweep nor shows as a traceback. The work is in `prospero.sweeps`.
"""

import itertools
import shlex
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig

from hydra_plugins.prospero_process_launcher.judging import monitor_of
from prospero.configuration.words import for_hydra
from prospero.errors import ConfigError


@dataclass
class GridSweeperConf:
    """Settings of the grid, as hydra.sweeper.*; those of the jobs are hydra.launcher.*"""

    _target_: str = "hydra_plugins.prospero_grid_sweeper.grid_sweeper.GridSweeper"
    params: dict[str, str] = field(default_factory=dict)
    """Swept settings from a YAML file, setting -> values as on the command line, which goes before them."""
    alternatives: list[str] = field(default_factory=list)
    """Settings of which each job gets one, with every combination of the others: budgets (max_tokens=1e6,
    max_minutes=5); several that belong together stand in one text."""


ConfigStore.instance().store(group="hydra/sweeper", name="grid", node=GridSweeperConf, provider="prospero")


class GridSweeper(Sweeper):
    """Runs every combination of the swept values; leaves with exit code 1 when a job failed."""

    def __init__(self, params: dict[str, str] | None = None, alternatives: list[str] | None = None) -> None:
        self.params, self.alternatives = params or {}, alternatives or []

    def setup(self, *, hydra_context: Any, task_function: Any, config: DictConfig) -> None:
        """Keep what Hydra hands over and make the launcher."""
        self.hydra_context: Any = hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run the sweep; leaves by SystemExit unless every job is done."""
        launcher: Any = checked_launcher(self.launcher, "grid")
        params = for_hydra("train", [f"{key}={value}" for key, value in self.params.items()], swept=True)
        arguments = [*params, *arguments]
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        words = combinations(parser.parse_overrides(arguments))
        if self.alternatives:
            each = [for_hydra("train", shlex.split(text)) for text in self.alternatives]
            arguments = [*arguments, *(" ".join(chosen) for chosen in each)]
            words = [[*chosen, *others] for chosen in each for others in words]
        # Composing finds mistakes before the first job starts.
        monitor_of([launcher.compose(overrides) for overrides in words])
        sweep = launcher.open_sweep(overrides=arguments, sweeper="grid", settings=None)
        with sweep.closing():
            sweep.run_all(launcher.counted(sweep.folder.place(words)))
        if sweep.exit_code:
            raise SystemExit(sweep.exit_code)


def combinations(overrides: list[Override]) -> list[list[str]]:
    """Return the overrides of each job, the last setting varying fastest; ConfigError for a value without an end."""
    choices: dict[str, list[str]] = {}
    for override in overrides:
        key = override.get_key_element()
        if not override.is_sweep_override():
            choices[key] = [f"{key}={override.get_value_element_as_str()}" if not override.is_delete() else key]
        elif override.is_discrete_sweep():
            choices[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
            if not choices[key]:
                raise ConfigError(f"{override.input_line} names no value to sweep over")
        else:
            raise ConfigError(
                f"{override.input_line} has no list of values; write {key}=a,b,c, or search with hydra/sweeper=optuna"
            )
    return [list(words) for words in itertools.product(*choices.values())]


def checked_launcher(launcher: Any, sweeper: str) -> Any:
    """Return the launcher; ConfigError when it cannot run jobs in processes of their own."""
    if not hasattr(launcher, "open_sweep"):
        raise ConfigError(f"hydra/sweeper={sweeper} runs its jobs in processes; use hydra/launcher=process")
    return launcher
