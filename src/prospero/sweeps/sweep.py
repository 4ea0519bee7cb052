"""A sweep from its first job to its table, whatever chose the jobs."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prospero.runs.result import Status
from prospero.sweeps.folder import SweepFolder
from prospero.sweeps.job import Job, JobResult, short
from prospero.sweeps.runner import Runner, last_words
from prospero.sweeps.slots import LaunchSettings
from prospero.sweeps.table import screen_table, write_means, write_table


class Sweep:
    """Runs jobs in an open folder and keeps what they came to."""

    def __init__(self, folder: SweepFolder, settings: LaunchSettings) -> None:
        self.folder, self.settings = folder, settings
        self.runner = Runner(settings, group=folder.path.name, on_start=folder.started, idle=folder.pending.catch_up)
        self.results: list[JobResult] = []
        self.varied: frozenset[str] = frozenset()
        """The settings in which the jobs differ; a job's line names these."""

    @property
    def exit_code(self) -> int:
        """128 + the signal that ended the sweep, 1 when a job failed, else 0."""
        if self.runner.signal:
            return 128 + self.runner.signal
        return int(any(result.status is Status.failed for result in self.results))

    def announce(self, what: str) -> None:
        """Say in one line what comes, or that a sweep goes on."""
        slots = len(self.runner.slots)
        verb = "continuing" if self.folder.continued else "sweep of"
        over = f"; {len(self.results)} already over" if self.folder.continued else ""
        print(f"{verb} {what}, {slots} at a time, in {short(self.folder.path)}{over}", flush=True)

    def run_all(self, jobs: list[Job]) -> None:
        """Run those of the jobs that have not ended in an earlier process of this sweep."""
        settings = [job.settings() for job in jobs]
        keys = {key for chosen in settings for key in chosen}
        self.varied = frozenset(key for key in keys if len({chosen.get(key) for chosen in settings}) > 1)
        waiting = []
        for job in jobs:
            before = self.folder.result_of(job, retry_failed=self.settings.retry_failed)
            if before is None:
                waiting.append(job)
            else:
                self.results.append(before)
        self.announce(f"{len(jobs)} jobs")
        self.run(iter(waiting))

    def run(self, jobs: Iterator[Job], ended: Callable[[JobResult], None] | None = None) -> None:
        """Run jobs as they are asked for; write sweep.json and sweep.csv after each, then call `ended`."""

        def one_ended(result: JobResult) -> None:
            self.folder.ended(result)
            self.results.append(result)
            self._write_table()
            print(result.line(self.varied), flush=True)
            if result.status is Status.failed:
                print(last_words(result.job), flush=True)
            if ended is not None:
                ended(result)

        self.folder.end_orphans(self.settings.grace_seconds)
        self.runner.run(jobs, one_ended)

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Print and write the table at the end, note whether the sweep is finished, and let go of its folder."""
        finished = False
        try:
            yield
            finished = not self.runner.signal
        finally:
            try:
                self._show()
            finally:
                self.folder.close(finished=finished)

    def _write_table(self) -> None:
        path = self.folder.path / "sweep.csv"
        self.folder.pending.write(path, lambda: write_table(path, self.results))

    def _means(self) -> str:
        """Write the means over seeds, where there are any, and say where they are."""
        path = self.folder.path / "sweep_means.csv"
        written: list[bool] = []
        self.folder.pending.write(path, lambda: written.append(write_means(path, self.results)))
        if not any(written):
            return ""
        command = f"prospero compare sweep={short(self.folder.path)}"
        return f"; means over seeds: {short(path)}; curves and more: {command}"

    def _show(self) -> None:
        if self.results:
            self._write_table()
            print(screen_table(self.results), flush=True)
            print(f"table: {short(self.folder.path / 'sweep.csv')}{self._means()}", flush=True)
        if self.runner.signal:
            name = signal.Signals(self.runner.signal).name
            print(f"ended by {name}; run the same command again to go on", flush=True)
