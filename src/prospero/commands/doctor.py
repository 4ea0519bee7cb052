"""`doctor`: what is wrong with a run, the worst first; without a run: what this machine is, and what it can train."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from prospero.errors import ConfigError
from prospero.training.settings import TrainConfig

if TYPE_CHECKING:
    from prospero.runs.doctor.examination import Examination
    from prospero.runs.doctor.record import RunRecord

EXAMPLES = [
    ("prospero doctor run=last", "what is wrong with the newest run, and what to change"),
    ("prospero doctor run=last probe=false", "from its files alone, without opening the model"),
    ("prospero doctor", "this machine, and what the default run would take on it"),
    ("prospero doctor model=base trainer=gpu", "does this fit, and how many tokens a second are to be expected"),
]
OF_A_RUN = ("run", "probe", "probe_sequences", "outputs_dir", "plugins", "traceback")
"""Settings that go with run=; the others describe a run that has not begun."""


@dataclass(kw_only=True, slots=True)
class DoctorConfig(TrainConfig):
    """A run to look at; without one, all settings of a training run, which this machine is measured against."""

    run: str | None = None
    """The run: last, a name, a folder, or the folder of a sweep; null looks at the machine."""
    probe: bool = True
    """Open the last checkpoint and read some training data with it: units, heads, noise of the gradient."""
    probe_sequences: int = 64
    """Sequences that are read for it."""

    def __post_init__(self) -> None:
        TrainConfig.__post_init__(self)
        if self.run is not None and not self.run.strip():
            raise ConfigError("run= is empty; give a run, or leave it out to look at the machine")
        if self.probe_sequences < 2:
            raise ConfigError(f"probe_sequences={self.probe_sequences} is too few to see noise; give 2 or more")


def doctor(config: DoctorConfig) -> int:
    """Print what was found, and write doctor.json into the run's folder; return the exit code, which is 0."""
    from prospero import log as logging_setup

    logging_setup.configure()
    if config.run is None:
        return _machine(config)
    _refuse_settings_of_no_run(config)
    return _run(config, config.run)


def _run(config: DoctorConfig, name: str) -> int:
    from prospero.runs.doctor.examination import examine
    from prospero.runs.doctor.record import read_record
    from prospero.runs.find import find
    from prospero.runs.folder import RunFolder
    from prospero.sweeps.folder import SWEEP_FILE

    folder = find(name, config.outputs_dir)
    if (folder / SWEEP_FILE).is_file() and not RunFolder(folder).config.is_file():
        return _sweep(folder)
    run = read_record(folder)
    if config.probe:
        _probe(run, config)
    found = examine(run)
    _print(found)
    _write(found)
    return 0


def _probe(run: "RunRecord", config: DoctorConfig) -> None:
    """Measure the run's model, or note why that cannot be done."""
    import torch

    from prospero.analysis.doctor.probing import probe
    from prospero.runs.doctor.finding import CannotJudge

    device = "cuda" if torch.cuda.is_available() else "cpu"
    data = Path(config.outputs_dir, "data")
    try:
        run.probe, run.parameters = probe(run.folder, data, sequences=config.probe_sequences, device=device)
    except CannotJudge as error:
        run.not_probed = str(error)


def _sweep(folder: Path) -> int:
    """Print a line for each job of a sweep."""
    from prospero.runs.doctor.examination import examine
    from prospero.runs.doctor.record import read_record
    from prospero.runs.folder import RunFolder

    jobs = sorted(path for path in folder.iterdir() if RunFolder(path).config.is_file())
    if not jobs:
        raise ConfigError(f"the sweep {folder} holds no run yet")
    for path in jobs:
        found = examine(read_record(path))
        first = f"{found.findings[0].severity.name}: {found.findings[0].line}" if found.findings else "nothing found"
        print(f"{path.name}: {first}")
    print(f"\none of them, with its model: prospero doctor run={jobs[0]}")
    return 0


def _print(found: "Examination") -> None:
    from prospero.runs.doctor.finding import shown

    run = found.run
    print(f"{run.folder.path} {run.stage.value}; {run.steps:,} steps, {run.tokens:,} tokens")
    if not found.findings:
        print(f"nothing was found by {found.judged} rules")
    for finding in found.findings:
        print(f"\n{finding.severity.name}: {finding.what}")
        print(f"  {shown(finding.number)} {finding.unit} (limit {shown(finding.limit)})")
        print(f"  change: {finding.advice}")
        print(f"  source: {finding.source}")
    if found.not_judged:
        print("\nnot judged: " + "; ".join(f"{rule} ({why})" for rule, why in found.not_judged.items()))


def _write(found: "Examination") -> None:
    from prospero.paths import write_text

    write_text(found.run.folder.doctor, json.dumps(found.plain(), indent=1) + "\n")


def _refuse_settings_of_no_run(config: DoctorConfig) -> None:
    """Raise ConfigError where settings of training stand beside run=, which would be ignored."""
    from prospero.configuration.compose import compose
    from prospero.plain import flat, plain

    words = [f"plugins=[{','.join(config.plugins)}]"] if config.plugins else []
    usual = flat(plain(compose("doctor", words)))
    given = flat(plain(config))
    names = [name for name in given | usual if given.get(name) != usual.get(name)]
    odd = [name for name in names if name.partition(".")[0] not in OF_A_RUN]
    if odd:
        raise ConfigError(
            f"run={config.run} is looked at as it was trained; {odd[0]}= describes a run that has not begun: give one "
            "of the two"
        )


def _machine(config: DoctorConfig) -> int:
    raise ConfigError("not there yet")
