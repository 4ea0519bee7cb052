"""A run as an object for notebooks and scripts: its settings, numbers and checkpoints, each read when asked for."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prospero.errors import ConfigError
from prospero.runs.find import find
from prospero.runs.folder import RunFolder
from prospero.runs.metrics import metric_series
from prospero.runs.result import read_result

if TYPE_CHECKING:
    from prospero.checkpoints.run_checkpoints import RunCheckpoints


@dataclass(frozen=True)
class Run(os.PathLike[str]):
    """An opened run; it stands for its folder wherever a path is taken, as in `load_model(run)`."""

    folder: RunFolder

    def __fspath__(self) -> str:
        return str(self.folder.path)

    @cached_property
    def config(self) -> dict[str, Any]:
        """Every setting as plain values, secrets replaced; DataError when the file is damaged."""
        from prospero.configuration.reading import read_config

        return read_config(self.folder.config)

    @property
    def metrics(self) -> dict[str, list[tuple[int, float]]]:
        """Metric -> [(step, value), ...], as far as the run has come by now."""
        return metric_series(self.folder.metrics)

    @property
    def result(self) -> dict[str, Any]:
        """What the run measured at its end; empty before."""
        return read_result(self.folder.path)

    @cached_property
    def checkpoints(self) -> "RunCheckpoints":
        """What it has saved."""
        from prospero.checkpoints.run_checkpoints import RunCheckpoints

        return RunCheckpoints(self.folder.checkpoints)


def open_run(run: str | os.PathLike[str] = "last", *, outputs_dir: str | os.PathLike[str] = "outputs") -> Run:
    """Return a run by its folder or its name, or the `last` one below `outputs_dir`.

    Raises ConfigError when there is none, naming the nearest, or when the folder holds no run.
    """
    folder = RunFolder(Path(find(os.fspath(run), os.fspath(outputs_dir))))
    if not folder.holds_a_run:
        raise ConfigError(f"{folder.path} holds no run: there is no {folder.config.name} in it; give a run's folder")
    return Run(folder)
