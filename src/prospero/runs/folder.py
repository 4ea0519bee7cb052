"""The folders of a run and of an evaluation: the name of every file in them, once, for writers and readers alike."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where the files of one run are; a file need not exist."""

    path: Path

    @property
    def config(self) -> Path:
        """Every setting of the run; `python train.py --config-dir <folder> --config-name config` runs it again."""
        return self.path / "config.yaml"

    @property
    def log(self) -> Path:
        """What the run said."""
        return self.path / "log.txt"

    @property
    def init_from(self) -> Path:
        """What the run's first weights were, where it has begun from others' (`init_from`)."""
        return self.path / "init_from.json"

    @property
    def teacher(self) -> Path:
        """What the run learns from, where that is another model (`loss=distill`)."""
        return self.path / "teacher.json"

    @property
    def adapter(self) -> Path:
        """What an adapter has added to the model, alone; it is folded into that of model/."""
        return self.path / "adapter"

    @property
    def environment(self) -> Path:
        """Versions, processor, commit, command line."""
        return self.path / "environment.json"

    @property
    def code_diff(self) -> Path:
        """Changes of the clone since its commit."""
        return self.path / "code.diff"

    @property
    def numerics(self) -> Path:
        """How the model computes on this machine."""
        return self.path / "numerics.json"

    @property
    def metrics(self) -> Path:
        """Every number, by step and tokens."""
        return self.path / "metrics.csv"

    @property
    def samples(self) -> Path:
        """What the model wrote on the way."""
        return self.path / "samples.md"

    @property
    def rollouts(self) -> Path:
        """What the model wrote for its prompts on the way, with its rewards."""
        return self.path / "rollouts.md"

    @property
    def evaluation(self) -> Path:
        """What the tasks saw of the model on the way."""
        return self.path / "evaluation.md"

    @property
    def receipt(self) -> Path:
        """What was read, kept and dropped, and why."""
        return self.path / "receipt.json"

    @property
    def result(self) -> Path:
        """How the run ended and what it measured."""
        return self.path / "result.json"

    @property
    def report(self) -> Path:
        """Curves, samples, settings and the data's receipt on one page."""
        return self.path / "report.html"

    @property
    def loss_picture(self) -> Path:
        """Training and validation loss."""
        return self.path / "loss.png"

    @property
    def model(self) -> Path:
        """The model folder: safetensors, config, tokenizer."""
        return self.path / "model"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def tokenizer(self) -> Path:
        """The run's tokenizer, so that a checkpoint alone can write text."""
        return self.checkpoints / "tokenizer.json"

    @property
    def rollbacks(self) -> Path:
        """The times that the run went back, and the data it left out."""
        return self.path / "rollbacks.json"

    @property
    def diagnosis(self) -> Path:
        """Why the run gave up: losses, documents, advice."""
        return self.path / "diagnosis.json"

    @property
    def usage(self) -> Path:
        """What the first process of the run has used, start by start; see `runs.usage`."""
        return self.usage_of(0)

    @property
    def horizon(self) -> Path:
        """How many steps a run that ends by the clock took itself to have, by step: what its schedule followed."""
        return self.path / "horizon.csv"

    @property
    def repetition(self) -> Path:
        """What came of it where the run repeats another."""
        return self.path / "repetition.json"

    @property
    def doctor(self) -> Path:
        """What `prospero doctor` has found, with its numbers."""
        return self.path / "doctor.json"

    @property
    def stop(self) -> Path:
        """A file that asks the run to save and leave."""
        return self.path / "STOP"

    @property
    def lock(self) -> Path:
        """Held by the process that trains in the folder."""
        return self.path / ".lock"

    @property
    def hang(self) -> Path:
        """Written by a process that has found that nothing moves."""
        return self.path / ".hang"

    @property
    def wandb_run_id(self) -> Path:
        """The id of the run in W&B."""
        return self.path / "wandb_run_id"

    @property
    def wandb(self) -> Path:
        """W&B's own files."""
        return self.path / "wandb"

    @property
    def trackio_run(self) -> Path:
        """The name of the run in Trackio."""
        return self.path / "trackio_run"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's event files."""
        return self.path / "tensorboard"

    @property
    def console(self) -> Path:
        """What a job of a sweep printed."""
        return self.path / "console.log"

    @property
    def evaluations(self) -> Path:
        """What was measured of its model afterwards, a folder for each (see `EvaluationFolder`)."""
        return self.path / "evaluations"

    @property
    def analyses(self) -> Path:
        """What was looked at inside its model afterwards, a folder for each (see `EvaluationFolder`)."""
        return self.path / "analyses"

    @property
    def dynamics(self) -> Path:
        """What was seen of its course in its checkpoints (see `DynamicsFolder`)."""
        return self.path / "dynamics"

    @property
    def tokenizer_report(self) -> Path:
        """What is known of its tokenizer (see `TokenizerReportFolder`)."""
        return self.path / "tokenizer_report"

    def metrics_until(self, step: int) -> Path:
        """A copy of the metrics of a course up to `step`, kept when the run goes back and takes another."""
        return self.path / f"metrics_until_{step:08d}.csv"

    def usage_of(self, rank: int) -> Path:
        """What process `rank` has used: hours, energy."""
        return self.path / ("usage.json" if rank == 0 else f"usage_rank{rank}.json")

    def usages(self) -> list[Path]:
        """What all processes have used, those of earlier starts with more of them included."""
        return [*self.path.glob("usage.json"), *sorted(self.path.glob("usage_rank*.json"))]

    def stacks(self, rank: int) -> Path:
        """Where process `rank` writes the stacks of its threads when nothing moves."""
        return self.path / f"stacks_rank{rank}.txt"

    @property
    def holds_a_run(self) -> bool:
        """Whether a run has begun here; its weights are one also where config.yaml is gone."""
        return self.config.is_file() or self.holds_weights

    @property
    def holds_weights(self) -> bool:
        """Whether there is a model or a place for checkpoints."""
        return self.model.is_dir() or self.checkpoints.is_dir()


@dataclass(frozen=True, slots=True)
class EvaluationFolder:
    """Where the files of one evaluation are; a file need not exist."""

    path: Path

    @property
    def samples(self) -> Path:
        """Every item: what came of it, its score and its statistics, one JSON object a line."""
        return self.path / "samples.jsonl"

    @property
    def results(self) -> Path:
        """The numbers with their intervals, and with what they were measured."""
        return self.path / "results.json"

    @property
    def report(self) -> Path:
        """The numbers, and the best, the worst and random items, on one page."""
        return RunFolder(self.path).report

    def picture(self, name: str) -> Path:
        """What the measurement `name` draws."""
        return self.path / f"{name}.png"

    @property
    def lock(self) -> Path:
        """Held by the process that measures in the folder."""
        return RunFolder(self.path).lock

    def share(self, rank: int) -> Path:
        """The items of one process while several measure; they end up in `samples`."""
        return self.samples if rank == 0 else self.path / f"samples_rank{rank}.jsonl"

    def shares(self) -> list[Path]:
        """The files of other processes that are there: of an evaluation that runs, or was killed."""
        return sorted(self.path.glob("samples_rank*.jsonl"))


@dataclass(frozen=True, slots=True)
class TokenizerReportFolder:
    """Where the files of `prospero tokenizer_report` are; a file need not exist."""

    path: Path

    @property
    def page(self) -> Path:
        """All tables on one page."""
        return self.path / "tokenizer_report.html"

    @property
    def summary(self) -> Path:
        """The numbers of the page."""
        return self.path / "tokenizer_report.json"

    def study(self, vocab_size: int) -> Path:
        """The run of a small model with a vocabulary of this size."""
        return self.path / f"vocab_{vocab_size}"


@dataclass(frozen=True, slots=True)
class DynamicsFolder:
    """Where the files of `prospero dynamics` are; a file need not exist."""

    path: Path

    @property
    def page(self) -> Path:
        """All pictures and tables on one page."""
        return self.path / "dynamics.html"

    @property
    def summary(self) -> Path:
        """What was read, and the numbers of the page."""
        return self.path / "dynamics.json"

    @property
    def losses(self) -> Path:
        """The loss at every checkpoint, here and in the run's own validation."""
        return self.path / "losses.csv"

    @property
    def matrices(self) -> Path:
        """A row for each matrix at each checkpoint: weights, gradients, activations, circuits of heads."""
        return self.path / "matrices.csv"

    @property
    def similarity(self) -> Path:
        """CKA and PWCCA of every two representations that were compared."""
        return self.path / "similarity.csv"

    @property
    def tokens(self) -> Path:
        """Every frequent token: its loss at each checkpoint, when it was learned, whether it was forgotten."""
        return self.path / "tokens.csv"

    @property
    def words(self) -> Path:
        """The same of words."""
        return self.path / "words.csv"

    def picture(self, name: str) -> Path:
        """A picture of the page."""
        return self.path / f"{name}.png"
