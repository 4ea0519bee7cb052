"""`hydra/launcher=process`: every job of a sweep is its own clean process. The work is in `prospero.sweeps`.

Hydra's own launcher runs the jobs one after another inside one Python process: a crash ends the sweep, W&B logs job 2
into job 1's run, and Lightning's DDP children, started with the same `-m` command line, would each run the sweep again.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf

from prospero.sweeps.slots import LaunchSettings


@dataclass
class ProcessLauncherConf(LaunchSettings):
    """Settings of the launcher, as hydra.launcher.*"""

    _target_: str = "hydra_plugins.prospero_process_launcher.process_launcher.ProcessLauncher"


ConfigStore.instance().store(group="hydra/launcher", name="process", node=ProcessLauncherConf, provider="prospero")


class ProcessLauncher(Launcher):
    """Start `python <program> <overrides of the job> run_dir=<sweep folder>/<job>` for each job of the sweep."""

    def __init__(self, **settings: Any) -> None:
        self.given = settings

    def setup(self, *, hydra_context: Any, task_function: Any, config: DictConfig) -> None:
        """Keep what Hydra hands over; called once before `launch`."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def open_sweep(self, *, overrides: list[str], sweeper: str, settings: Any) -> Any:
        """Return the open `Sweep` of this command: a new one, or the unfinished one of before.

        `settings` are the sweeper's own that make it another sweep. ConfigError when it runs already.
        """
        from prospero.secret_values import redacted_word
        from prospero.sweeps.folder import Identity, SweepFolder
        from prospero.sweeps.sweep import Sweep

        launch = LaunchSettings(**self.given)
        hydra_words = OmegaConf.to_container(self.config.hydra.overrides.hydra)
        assert isinstance(hydra_words, list)
        named = any(str(word).lstrip("+").startswith("hydra.sweep.dir=") for word in hydra_words)
        composed = OmegaConf.to_container(self.config, resolve=False)
        assert isinstance(composed, dict)
        composed.pop("hydra")
        identity = Identity(
            overrides=[redacted_word(word) for word in overrides], sweeper=sweeper, settings=[composed, settings]
        )
        default = Path(str(self.config.hydra.sweep.dir)).resolve()
        folder = SweepFolder.open(default, named, identity, retry_failed=launch.retry_failed)
        try:
            return Sweep(folder, launch)
        except BaseException:
            folder.close(finished=False)
            raise

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """Return a job's whole configuration; raises Hydra's errors when it cannot be composed."""
        return self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))

    def counted(self, jobs: list[Any]) -> list[Any]:
        """Return the jobs with the number of processes that each starts on this machine, as far as its settings say."""
        return [dataclasses.replace(job, devices=self.devices(job.overrides)) for job in jobs]

    def devices(self, overrides: Sequence[str]) -> int:
        """Return how many processes a job starts on this machine, as far as its settings say."""
        return int(OmegaConf.select(self.compose(overrides), "trainer.devices") or 1)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        """Run the jobs, at most `slots` at once, for a sweeper of Hydra's own; a failed job is marked."""
        words = [list(overrides) for overrides in job_overrides]
        sweep = self.open_sweep(overrides=[" ".join(job) for job in words], sweeper="launch", settings=initial_job_idx)
        jobs = self.counted(sweep.folder.place(words))
        with sweep.closing():
            sweep.run_all(jobs)
        if sweep.runner.signal:
            raise SystemExit(sweep.exit_code)
        results = {result.job.number: result for result in sweep.results}
        return [self._return_of(job, results[job.number]) for job in jobs]

    def _return_of(self, job: Any, result: Any) -> JobReturn:
        answer = JobReturn()
        answer.overrides, answer.working_dir = job.overrides, str(job.folder)
        answer.cfg = answer.hydra_cfg = self.compose(job.overrides)
        answer.status, answer.return_value = JobStatus.COMPLETED, result.objective
        if result.exit_code:
            answer.status = JobStatus.FAILED
            answer.return_value = RuntimeError(f"job {job.number} left with exit code {result.exit_code}")
        return answer
