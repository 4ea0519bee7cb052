"""`dynamics`: how a run has learned, seen in its checkpoints: its matrices, its representations, its words."""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from prospero.errors import ConfigError, DataError

if TYPE_CHECKING:
    from prospero.analysis.dynamics.text import FixedText
    from prospero.checkpoints.run_checkpoints import Checkpoint

EXAMPLES = [
    ("prospero dynamics run=last", "the newest run, over the checkpoints that it keeps"),
    ("prospero dynamics run=first,second", "two runs, and how alike they have become"),
    ("prospero dynamics sweep=last tokens=0", "every job of the newest sweep, its weights alone"),
    ("prospero dynamics run=last points=[block.*.attention.output]", "what each layer of attention adds, compared"),
]
KEEP_MORE = "keep more with callbacks.checkpoints.every_steps=50 callbacks.checkpoints.keep_last=1000"
LEAST_ACTIVATIONS, MOST_ACTIVATIONS, FOR_EACH_DIMENSION = 2048, 4096, 4


class Device(Enum):
    """Where the models read their text."""

    cpu = "cpu"
    cuda = "cuda"


@dataclass(kw_only=True, slots=True)
class DynamicsConfig:
    """Which runs, how much of them is looked at, and where the page goes."""

    run: str = "last"
    """The run: last, a name, or a folder; or the folder of one checkpoint. Several with commas between: run=a,b."""
    sweep: str | None = None
    """Instead of run: every job of a sweep that is done, by last, its folder or its name."""
    most_checkpoints: int = 12
    """Checkpoints of a run that are read at most, evenly spread over those that it keeps, first and last among them."""
    tokens: int | None = 100_000
    """Tokens of the validation text that every checkpoint reads; null: all of it, 0: none, the weights alone."""
    activations: int | None = None
    """Tokens whose activations are compared; null: 4 for each dimension of the model, from 2,048 to 4,096."""
    points: list[str] = field(default_factory=list)
    """Where activations are taken, as block.*.attention.output; none: embedding, each block's output, hidden."""
    min_count: int = 10
    """How often a word must stand in the text to be in the tables."""
    device: Device = Device.cpu
    """Where the models read: cpu, or cuda."""
    out: str | None = None
    """Folder for the page and the tables; without one <run folder>/dynamics, that of the sweep, or
    <outputs_dir>/dynamics for several runs."""
    outputs_dir: str = "outputs"
    """Folder that holds the runs and the prepared data."""
    plugins: list[str] = field(default_factory=list)
    """Python modules of your own that register parts the runs were made with."""
    traceback: bool = False
    """Show the full traceback of an error."""

    def __post_init__(self) -> None:
        for name in ("run", "sweep", "out", "outputs_dir"):
            if (value := getattr(self, name)) is not None and not value.strip():
                raise ConfigError(f"{name}= is empty; give its name, or leave it out")
        for name, least in (("most_checkpoints", 1), ("min_count", 1), ("tokens", 0), ("activations", 4)):
            if (value := getattr(self, name)) is not None and value < least:
                raise ConfigError(f"{name}={value} must be at least {least}")


def dynamics(config: DynamicsConfig) -> int:
    """Read the checkpoints one after the other, write the folder and print the course; return the exit code."""
    import tempfile

    import torch

    from prospero import log as logging_setup
    from prospero.analysis.dynamics.report import write_report
    from prospero.analysis.dynamics.study import Options, study_run
    from prospero.log import log
    from prospero.runs.folder import DynamicsFolder

    logging_setup.configure()
    if config.device is Device.cuda and not torch.cuda.is_available():
        raise ConfigError("device=cuda: torch sees no GPU here; leave it out")
    chosen, place = _chosen(config)
    notes: list[str] = []
    opened = {label: _checkpoints_of(label, folder, config, notes) for label, folder in chosen.items()}
    options = Options(points=config.points, device=config.device.value)
    with tempfile.TemporaryDirectory(prefix="prospero-dynamics-") as store:
        studies = [
            study_run(label, found, _text_of(label, found[-1], config, notes), Path(store, str(number)), options)
            for number, (label, found) in enumerate(opened.items())
        ]
        folder = DynamicsFolder(place)
        print(write_report(folder, studies, min_count=config.min_count, notes=notes))
    log.info("look at %s; the numbers are the tables beside it", folder.page)
    return 0


def _chosen(config: DynamicsConfig) -> tuple[dict[str, Path], Path]:
    """Return label -> folder of the runs, and where the page goes."""
    from prospero.runs.find import find
    from prospero.runs.folder import RunFolder

    out = None if config.out is None else Path(config.out).expanduser()
    if config.sweep is not None:
        found, sweep = _of_sweep(config.sweep, config.outputs_dir)
        return found, out or RunFolder(sweep).dynamics
    several = [] if Path(config.run).is_dir() else [name.strip() for name in config.run.split(",")]
    folders = [find(name, config.outputs_dir).resolve() for name in several or [config.run]]
    names: dict[str, Path] = {}
    for folder in dict.fromkeys(folders):
        names[folder.name if folder.name not in names else str(folder)] = folder
    if len(names) > 1:
        return names, out or RunFolder(Path(config.outputs_dir)).dynamics
    return names, out or RunFolder(_run_of(folders[0])).dynamics


def _of_sweep(name: str, outputs_dir: str) -> tuple[dict[str, Path], Path]:
    from prospero.runs.result import Status
    from prospero.sweeps.find import called_by, find_sweep, jobs_of, varied

    sweep = find_sweep(name, outputs_dir)
    jobs = [job for job, status in jobs_of(sweep) if status is Status.done]
    names = varied(jobs)
    if not jobs:
        raise ConfigError(f"no job of {sweep} is done")
    return {called_by(job.settings(), names) or f"job {job.number}": job.folder for job in jobs}, sweep


def _run_of(folder: Path) -> Path:
    """Return the run's folder of a run or of one of its checkpoints."""
    from prospero.checkpoints.run_checkpoints import is_checkpoint

    return folder.parent.parent if is_checkpoint(folder) else folder


def _checkpoints_of(label: str, folder: Path, config: DynamicsConfig, notes: list[str]) -> "list[Checkpoint]":
    """Return those that are read, of rising steps, each verified; ConfigError where there is none."""
    import numpy as np

    from prospero.checkpoints.run_checkpoints import Checkpoint, RunCheckpoints, is_checkpoint
    from prospero.log import log
    from prospero.runs.folder import RunFolder

    if is_checkpoint(folder):
        return [Checkpoint.open(folder).verify()]
    found = []
    for checkpoint in reversed(RunCheckpoints(RunFolder(folder).checkpoints).all()):
        try:
            found.append(checkpoint.verify())
        except DataError as error:
            log.warning("passing over %s: %s", checkpoint.path.name, error)
            notes.append(f"{label}: {checkpoint.path.name} is passed over, it is damaged")
    if not found:
        raise ConfigError(f"{folder} holds no readable checkpoint, and its course is seen in checkpoints; {KEEP_MORE}")
    if len(found) == 1:
        notes.append(f"{label}: one checkpoint, so there is how it stands and no course; {KEEP_MORE}")
    if len(found) > config.most_checkpoints:
        notes.append(f"{label}: {config.most_checkpoints} of its {len(found)} checkpoints (most_checkpoints=)")
        some = np.linspace(0, len(found) - 1, config.most_checkpoints).round().astype(int)
        found = [found[place] for place in some] if len(some) > 1 else found[-1:]
    return found


def _text_of(label: str, checkpoint: "Checkpoint", config: DynamicsConfig, notes: list[str]) -> "FixedText | None":
    """Return the run's own validation text; None, and a note, where it is not here or not asked for."""
    from prospero.analysis.dynamics.text import FixedText
    from prospero.commands.opening import ModelPlace
    from prospero.data.prepare import find_prepared

    if config.tokens == 0:
        return None
    place = ModelPlace(checkpoint.path)
    data = Path(config.outputs_dir, "data")
    folder = find_prepared(data, place.data_fingerprint)
    if folder is None:
        notes.append(
            f"{label}: its prepared data are not under {data}, so its weights alone are shown; prepare them again with "
            "python prepare.py and the run's settings"
        )
        return None
    assert place.seq_len is not None
    width = int((place.description["model"].get("settings") or {}).get("d_model") or 0)
    wanted = min(MOST_ACTIVATIONS, max(LEAST_ACTIVATIONS, FOR_EACH_DIMENSION * width))
    return FixedText(
        folder,
        seq_len=place.seq_len,
        document_ids=place.document_ids,
        tokens=config.tokens,
        activations=config.activations or wanted,
    )
