"""`leaderboard`: check three runs against the rules of leaderboard/README.md and print the line that they earn."""

from dataclasses import dataclass, field
from pathlib import Path

from prospero.errors import ConfigError

EXAMPLES = [
    ("python train.py -m experiment=leaderboard_default seed=1,2,3", "three runs of 60 seconds"),
    ("prospero leaderboard run=last", "the sweep of the newest run: a line for each of its entries"),
    ("prospero leaderboard runs=[a,b,c] title='my entry'", "three runs by their names"),
]


@dataclass(kw_only=True, slots=True)
class LeaderboardConfig:
    """Which runs."""

    run: str = "last"
    """A sweep's folder, or a run: last, a name, a folder; of a job of a sweep the whole sweep is read."""
    runs: list[str] = field(default_factory=list)
    """Instead of run: runs by their names or folders."""
    title: str | None = None
    """What the entry is called; without one the experiment or the name of its runs."""
    outputs_dir: str = "outputs"
    """Folder that holds the runs."""
    plugins: list[str] = field(default_factory=list)
    """Python modules of your own that the runs were made with; checking needs none of them."""
    traceback: bool = False
    """Show the full traceback of an error."""

    def __post_init__(self) -> None:
        for name in ("run", "outputs_dir", "title"):
            if (value := getattr(self, name)) is not None and not value.strip():
                raise ConfigError(f"{name}= is empty; give its name, or leave it out")
        if self.title is not None and "|" in self.title:
            raise ConfigError("title= holds '|', which parts the cells of the table; leave it out")


def leaderboard(config: LeaderboardConfig) -> int:
    """Print a line for each entry among the runs; return the exit code."""
    from prospero.runs.leaderboard import HEAD, entries_of, judged, read_leaderboard_run

    groups = entries_of([read_leaderboard_run(folder) for folder in _folders(config)])
    if config.title is not None and len(groups) > 1:
        raise ConfigError(f"title= names one entry, and these runs are {len(groups)}; leave it out")
    entries = [judged(group, config.title or _called(group[0].folder, group[0].environment)) for group in groups]
    for budget in dict.fromkeys(entry.budget for entry in entries):
        print(f"{budget.name}\n\n{HEAD}")
        for entry in sorted(entries, key=lambda entry: sum(entry.values)):
            if entry.budget == budget:
                print(entry.line())
    return 0


def _folders(config: LeaderboardConfig) -> list[Path]:
    from prospero.runs.find import find
    from prospero.runs.folder import RunFolder
    from prospero.sweeps.folder import SWEEP_FILE

    if config.runs:
        return list(dict.fromkeys(find(name, config.outputs_dir).resolve() for name in config.runs))
    found = find(config.run, config.outputs_dir).resolve()
    sweep = next((place for place in (found, found.parent) if (place / SWEEP_FILE).is_file()), None)
    if sweep is None:
        return [found]
    jobs = sorted(path for path in sweep.iterdir() if RunFolder(path).config.is_file())
    if not jobs:
        raise ConfigError(f"the sweep {sweep} holds no run yet")
    return jobs


def _called(folder: Path, environment: dict[str, object]) -> str:
    """Return the experiment that a run was made with, else the run's name."""
    words = environment["command_line"]
    assert isinstance(words, list)
    experiments = [str(word).partition("=")[2] for word in words if str(word).startswith("experiment=")]
    return experiments[0] if experiments else folder.name
