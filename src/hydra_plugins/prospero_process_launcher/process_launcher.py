"""`hydra/launcher=process`: every job of a sweep is its own clean process. The work is in `prospero.commands.sweep`.

Hydra's own launcher runs the jobs one after another inside one Python process: a crash ends the sweep, W&B logs job 2
into job 1's run, and Lightning's DDP children, started with the same `-m` command line, would each run the sweep again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, open_dict


@dataclass
class ProcessLauncherConf:
    """Settings of the launcher, as hydra.launcher.*"""

    _target_: str = "hydra_plugins.prospero_process_launcher.process_launcher.ProcessLauncher"
    slots: int = 1
    """Jobs that run at the same time."""
    timeout_minutes: float | None = None
    """A job that runs longer is ended and marked FAILED."""


ConfigStore.instance().store(group="hydra/launcher", name="process", node=ProcessLauncherConf, provider="prospero")


class ProcessLauncher(Launcher):
    """Start `python <program> <overrides of the job> run_dir=<sweep folder>/<job>` for each job of the sweep."""

    def __init__(self, slots: int, timeout_minutes: float | None) -> None:
        self.slots, self.timeout_minutes = slots, timeout_minutes

    def setup(self, *, hydra_context: Any, task_function: Any, config: DictConfig) -> None:
        """Keep what Hydra hands over; called once before `launch`."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        """Run the jobs, at most `slots` at once; a failed job is marked and the sweep goes on."""
        from prospero.commands.sweep import Job, run_jobs

        folder = Path(str(self.config.hydra.sweep.dir)).resolve()
        jobs, configs = [], []
        for index, overrides in enumerate(job_overrides):
            number = initial_job_idx + index
            cfg = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
            with open_dict(cfg):
                cfg.hydra.job.num, cfg.hydra.job.id = number, str(number)
            jobs.append(Job(number=number, overrides=list(overrides), folder=folder / str(number)))
            configs.append(cfg)
        results = run_jobs(jobs, folder, slots=self.slots, timeout_minutes=self.timeout_minutes)
        returns = []
        for job, cfg, result in zip(jobs, configs, results, strict=True):
            answer = JobReturn()
            answer.overrides, answer.cfg, answer.hydra_cfg, answer.working_dir = (
                job.overrides,
                cfg,
                cfg,
                str(job.folder),
            )
            if result.exit_code == 0:
                answer.status, answer.return_value = JobStatus.COMPLETED, result.objective
            else:
                answer.status = JobStatus.FAILED
                answer.return_value = RuntimeError(f"job {job.number} left with exit code {result.exit_code}")
            returns.append(answer)
        return returns
