"""`analyse`: look inside a model; every number with its interval, tables and a picture for each analysis."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prospero.commands.evaluate import check_measuring, run_measuring
from prospero.data.parts import MISSING
from prospero.errors import ConfigError
from prospero.evaluation.tasks.parts import AnalysisSettings
from prospero.generation.settings import Precision
from prospero.training.parts import TrainerSettings

if TYPE_CHECKING:
    from prospero.commands.opening import ModelPlace
    from prospero.evaluation.measurement import Measurement

EXAMPLES = [
    ("prospero analyse run=last analyses=[activations]", "the newest run: the residual stream, block by block"),
    ("prospero analyse run=outputs/a/checkpoints/step_00000100 analyses=[activations]", "a checkpoint"),
    ("prospero analyse run=last analyses=[activations] trainer=ddp trainer.accelerator=cpu trainer.devices=2", "two"),
]


@dataclass(kw_only=True, slots=True)
class AnalyseConfig:
    """Which model, which analyses, and by how many processes."""

    analyses: dict[str, AnalysisSettings] = field(default_factory=dict)
    """What is looked at: one analysis or several."""
    trainer: TrainerSettings = MISSING
    """Devices and processes: accelerator, devices, num_nodes; each process holds the whole model (ddp)."""
    run: str = "last"
    """The model: last, a run's name, or a folder (of a run, a checkpoint, a model, or one of Hugging Face's)."""
    limit: int | None = None
    """Items an analysis has at most, unless its own limit says otherwise; null: what it has by itself."""
    seed: int = 1
    """Of whatever an analysis draws, and of the intervals."""
    out: str | None = None
    """Folder of the results; without one <run folder>/analyses/<names>-<mark>, where the mark changes with model,
    analyses and settings, so that the same command goes on with what a killed one has left."""
    batch_size: int = 16
    """Items that are worked on side by side; numbers do not depend on it but for the rounding of products."""
    outputs_dir: str = "outputs"
    """Folder that holds the runs and the prepared data."""
    plugins: list[str] = field(default_factory=list)
    """Python modules of your own that register parts: analyses, or what the run was made with."""
    traceback: bool = False
    """Show the full traceback of an error."""

    def __post_init__(self) -> None:
        check_measuring(self, self.limit)
        if not self.analyses:
            raise ConfigError("analyses=[] looks at nothing; choose at least one, such as analyses=[activations]")

    @property
    def parts(self) -> dict[str, AnalysisSettings]:
        """The analyses."""
        return self.analyses

    @property
    def kept_in(self) -> str:
        """The folder's name beside a run's files."""
        return "analyses"

    @property
    def precision(self) -> Precision:
        """What is looked at is what was trained: nothing is rounded."""
        return Precision.float32


def analyse(config: AnalyseConfig) -> int:
    """Analyse, print the numbers, and leave results, pictures and a page in a folder; return the exit code."""
    from prospero.evaluation.analyses import build_analyses, check_openable

    measurements: list[Measurement] = []

    def build(place: "ModelPlace") -> "list[Measurement]":
        facts = place.analysis_facts(config.seed, config.limit, config.outputs_dir)
        measurements.extend(build_analyses(config.analyses, facts))
        return measurements

    run_measuring(config, build, lambda subject: check_openable(measurements, subject))
    return 0
