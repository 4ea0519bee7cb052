"""`compare`: several runs, or a sweep, side by side: what differs, their curves, and which difference is real."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from prospero.errors import ConfigError

if TYPE_CHECKING:
    from prospero.runs.comparison.comparison import SamplesOf
    from prospero.runs.comparison.runs import FinishedRun, Group

EXAMPLES = [
    ("prospero compare sweep=last", "every setting of the newest sweep, over its seeds"),
    ("prospero compare runs=[first,second]", "two runs by their names, or by their folders"),
    ("prospero compare sweep=last by=[val/bits_per_byte]", "by this number alone"),
]


@dataclass(kw_only=True, slots=True)
class CompareConfig:
    """Which runs, by which numbers, and where the page goes."""

    runs: list[str] = field(default_factory=list)
    """Runs by their names or folders; those that differ in their seed alone are one group."""
    sweep: str | None = None
    """Instead of runs: every job of a sweep, by last, its folder or its name."""
    by: list[str] = field(default_factory=list)
    """The numbers to compare by, as result.json names them; without any, all that the runs have in common."""
    out: str | None = None
    """Folder for compare.html, compare.csv and compare.png; without one that of the sweep, or <outputs_dir>/compare."""
    outputs_dir: str = "outputs"
    """Folder that holds the runs and the sweeps."""
    plugins: list[str] = field(default_factory=list)
    """Python modules of your own that the runs were made with; comparing needs none of them."""
    traceback: bool = False
    """Show the full traceback of an error."""

    def __post_init__(self) -> None:
        for name in ("sweep", "out", "outputs_dir"):
            if (value := getattr(self, name)) is not None and not value.strip():
                raise ConfigError(f"{name}= is empty; give its name, or leave it out")
        if bool(self.runs) == (self.sweep is not None):
            raise ConfigError("Give the runs to compare: runs=[a,b,c], or sweep=last")


def compare(config: CompareConfig) -> int:
    """Read the runs, judge them, write the page and print the verdicts; return the exit code."""
    from prospero import log as logging_setup
    from prospero.log import log
    from prospero.runs.comparison.comparison import compare as compared
    from prospero.runs.comparison.curves import drawn_metric, write_picture
    from prospero.runs.comparison.output import CSV_FILE, HTML_FILE, PICTURE_FILE, screen, write_csv, write_page
    from prospero.runs.comparison.runs import grouped

    logging_setup.configure()
    notes: list[str] = []
    runs, place = _of_sweep(config, notes) if config.sweep is not None else _of_names(config, notes)
    groups = grouped(runs, notes.append)
    if sum(len(group.runs) for group in groups) < 2:
        left_out = f" ({'; '.join(notes)})" if notes else ""
        raise ConfigError(f"a comparison takes two finished runs or more; found {len(runs)}{left_out}")
    comparison = compared(groups, config.by, over_samples=_over_samples(groups), notes=notes)
    out = Path(config.out).expanduser() if config.out is not None else place
    write_csv(out / CSV_FILE, comparison)
    write_page(out / HTML_FILE, comparison)
    write_picture(out / PICTURE_FILE, groups, drawn_metric(groups, comparison.objective))
    print(screen(comparison))
    log.info("look at %s; the numbers are %s, the curves %s", out / HTML_FILE, out / CSV_FILE, out / PICTURE_FILE)
    return 0


def _over_samples(groups: "list[Group]") -> "SamplesOf":
    """Return what compares two runs by the items of an evaluation; its imports take seconds, so only where needed."""
    if not any(group.runs[0].evaluations for group in groups):
        return lambda a, b, metric: None
    from prospero.commands.compare_samples import over_samples

    return over_samples


def _of_names(config: CompareConfig, notes: list[str]) -> "tuple[list[FinishedRun], Path]":
    """Return the runs given by name or folder, and where the page goes."""
    from prospero.runs.comparison.runs import read_run
    from prospero.runs.find import find

    found = []
    folders = list(dict.fromkeys(find(name, config.outputs_dir).resolve() for name in config.runs))
    for folder in folders:
        run = read_run(folder)
        if isinstance(run, str):
            notes.append(f"{folder.name} is left out: it {run}")
        else:
            found.append(run)
    return found, Path(config.outputs_dir, "compare")


def _of_sweep(config: CompareConfig, notes: list[str]) -> "tuple[list[FinishedRun], Path]":
    """Return the runs of a sweep that are done, called by the settings in which they differ, and its folder."""
    from prospero.runs.comparison.runs import read_run
    from prospero.runs.result import Status
    from prospero.sweeps.find import called_by, find_sweep, jobs_of, varied

    assert config.sweep is not None
    place = find_sweep(config.sweep, config.outputs_dir)
    jobs = jobs_of(place)
    names = varied([job for job, _ in jobs])
    found = []
    for job, status in jobs:
        settings = job.settings()
        called = called_by(settings, names) or f"job {job.number}"
        run = read_run(job.folder, called) if status is Status.done else f"is {status.value}"
        if isinstance(run, str):
            notes.append(f"[{job.number}] {called} is left out: it {run}")
        else:
            found.append(run)
    return found, place
