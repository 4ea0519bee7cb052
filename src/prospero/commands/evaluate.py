"""`evaluate`: measure a model on tasks; every item is kept with its score, every number has an interval.

The tasks read their data before the model is loaded, so that a task that lacks some fails at once and leaves nothing
behind. Several processes (trainer.devices=2, torchrun, srun) share the items; rank 0 brings their samples together.
"""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

from prospero.data.parts import MISSING
from prospero.errors import ConfigError
from prospero.evaluation.tasks.parts import RetrievalSettings, TaskSettings
from prospero.generation.settings import Precision
from prospero.training.parts import MetricSettings, TrainerSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from prospero.commands.evaluation_job import Measuring
    from prospero.commands.opening import ModelPlace
    from prospero.evaluation.measurement import Measurement, Subject
    from prospero.training.trainer import Hardware

EXAMPLES = [
    ("python evaluate.py run=last", "the newest run on its own validation text"),
    ("python evaluate.py run=first tasks.text.path=book.txt", "a run by its name, on a text of yours"),
    ("python evaluate.py run=outputs/a/checkpoints/step_00000100 limit=200", "a checkpoint, on 200 items a task"),
    ("python evaluate.py run=hf_folder tasks.text.path=texts 'metrics=[bits_per_byte,accuracy]'", "Hugging Face's"),
    ("python evaluate.py run=last tasks=[facts]", "of a model of data=triples: what it knows, and what it reads"),
    ("python evaluate.py run=last trainer=ddp trainer.accelerator=cpu trainer.devices=2", "two processes share it"),
]
READ_OF_TRAINER = ("accelerator", "devices", "num_nodes", "strategy")
"""Settings of the group `trainer` that act here; the others are about training."""


@dataclass(kw_only=True, slots=True)
class EvaluateConfig:
    """Which model, which tasks, and by how many processes."""

    tasks: dict[str, TaskSettings] = field(default_factory=dict)
    """What is measured: one task or several."""
    metrics: dict[str, MetricSettings] = field(default_factory=dict)
    """Metrics of tokens for the task text; metrics of written texts for every task that writes."""
    trainer: TrainerSettings = MISSING
    """Devices and processes: accelerator, devices, num_nodes; each process holds the whole model (ddp)."""
    retrieval: RetrievalSettings | None = None
    """What is put before the prompts of tasks that write: facts of a knowledge graph, paragraphs, or nothing."""
    run: str = "last"
    """The model: last, a run's name, or a folder (of a run, a checkpoint, a model, or one of Hugging Face's)."""
    limit: int | None = None
    """Items a task has at most, unless its own limit says otherwise; null: all."""
    seed: int = 1
    """Of whatever a task draws, of the intervals, and of the random examples on the page."""
    out: str | None = None
    """Folder of the results; without one <run folder>/evaluations/<tasks>-<mark>, where the mark changes with model,
    tasks and settings, so that the same command goes on with what a killed one has left."""
    batch_size: int = 16
    """Items that are worked on side by side; numbers do not depend on it but for the rounding of products."""
    precision: Precision = Precision.float32
    """Weights as float32, bf16 or int8."""
    outputs_dir: str = "outputs"
    """Folder that holds the runs and the prepared data."""
    plugins: list[str] = field(default_factory=list)
    """Python modules of your own that register parts: tasks, metrics, or what the run was made with."""
    traceback: bool = False
    """Show the full traceback of an error."""

    def __post_init__(self) -> None:
        check_measuring(self, self.limit)
        if not self.tasks:
            raise ConfigError("tasks=[] measures nothing; choose at least one, such as tasks=[text]")
        if self.precision is Precision.auto:
            raise ConfigError("precision=auto chooses by the clock, and a measurement names it: float32, bf16 or int8")

    @property
    def parts(self) -> dict[str, TaskSettings]:
        """The tasks."""
        return self.tasks

    @property
    def kept_in(self) -> str:
        """The folder's name beside a run's files."""
        return "evaluations"


def check_measuring(config: "Measuring", limit: int | None) -> None:
    """Raise ConfigError for settings of a measuring verb that name nothing, or measure nothing."""
    for name, value in (("run", config.run), ("out", config.out), ("outputs_dir", config.outputs_dir)):
        if value is not None and not value.strip():
            raise ConfigError(f"{name}= is empty; give its name, or leave it out")
    for name, number in (("limit", limit), ("batch_size", config.batch_size)):
        if number is not None and number < 1:
            raise ConfigError(f"{name}={number} measures nothing; give 1 or more")


def hardware_of(trainer: TrainerSettings) -> "Hardware":
    """Return the processes to be; ConfigError for a setting of the trainer that does not act here."""
    from prospero.training.trainer import StrategyName, TrainerConfig

    if trainer.strategy not in (StrategyName.auto, StrategyName.ddp):
        raise ConfigError(
            f"trainer.strategy={trainer.strategy.name}: here each process holds the whole model; use "
            "trainer=ddp, or leave trainer= out"
        )
    usual = TrainerConfig()
    for item in fields(usual):
        if item.name not in READ_OF_TRAINER and getattr(trainer, item.name) != getattr(usual, item.name):
            instead = "give precision= instead" if item.name == "precision" else "leave it out"
            raise ConfigError(
                f"trainer.{item.name} does not act on an evaluation ({', '.join(READ_OF_TRAINER)} do); {instead}"
            )
    return trainer.hardware()


def run_measuring(
    config: "Measuring", build: "Callable[[ModelPlace], list[Measurement]]", check: "Callable[[Subject], None]"
) -> None:
    """Open the model that `run=` names, measure what `build` returns by all processes, and write the results.

    `build` is called before any weight is read, `check` with the open model before anything is written.
    """
    from prospero import log as logging_setup
    from prospero.commands.evaluation_job import measure, open_folder, open_subject, write_results
    from prospero.commands.opening import ModelPlace
    from prospero.plain import flat, plain
    from prospero.processes import launch, ranks, signals
    from prospero.runs import find as find_run
    from prospero.secret_values import is_secret

    if ranks.is_rank_zero():
        logging_setup.configure()
    else:
        logging_setup.configure(level=logging_setup.SILENT)
    with signals.watched():
        hardware = hardware_of(config.trainer)
        rendezvous = launch.join(hardware.devices, hardware.num_nodes)
        rendezvous.same("settings", flat(plain(config), without=("outputs_dir",)), hidden=is_secret)
        place = ModelPlace(Path(rendezvous.share("run", lambda: str(find_run.find(config.run, config.outputs_dir)))))
        measurements = build(place)
        opened = open_subject(config, place, hardware)
        check(opened.subject)
        with open_folder(config, place, measurements, opened, rendezvous) as job:
            seconds = measure(job)
            if rendezvous.rank == 0:
                write_results(job, seconds)


def evaluate(config: EvaluateConfig) -> int:
    """Measure, print the table, and leave samples, results and a page in a folder; return the exit code."""
    from prospero.commands.evaluation_job import build_tasks

    run_measuring(config, lambda place: build_tasks(config, place), lambda subject: None)
    return 0
