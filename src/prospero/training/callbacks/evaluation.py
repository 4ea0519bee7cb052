"""Tasks measured while a model learns: each so many steps, in the validation of that step and with its weights."""

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lightning as L
import torch
import torch.distributed as dist

from prospero.errors import ConfigError
from prospero.evaluation.contamination import as_facts, contamination, item_texts, line_of, open_training_text
from prospero.evaluation.measurement import Measured, Measurement, Outcome, Subject
from prospero.evaluation.run_tasks import blocks
from prospero.generation.generate import decoder_of
from prospero.log import log
from prospero.printable import printable_lines
from prospero.processes.ranks import any_rank
from prospero.runs.folder import RunFolder
from prospero.training.callbacks.base import StepCallback
from prospero.training.callbacks.samples import forget_after, is_sharded, writing
from prospero.training.gathered import reshard
from prospero.training.guards.watchdog import Watchdog
from prospero.training.lightning_seams import also_validate_every, callbacks_of, is_fitting, validate_now
from prospero.training.loggers import log_table
from prospero.training.module import TrainingModule, training_module
from prospero.training.run_facts import RunFacts
from prospero.training.side_file import SideFile

_FENCE = "````"


@dataclass(kw_only=True, slots=True)
class EvaluationConfig:
    """Numbers of the tasks in `tasks`, as val/<task>/<number>, to metrics.csv, the loggers and the report."""

    every_steps: int = 250
    """Optimiser steps between evaluations; where no validation falls on such a step, one is made."""
    at_end: bool = True
    """Measure the last step too, whichever it is."""
    limit: int | None = 100
    """Items of a task at most, unless its own `limit` says otherwise; null: all."""
    rows: int = 16
    """Items that are worked on side by side; numbers do not depend on it but for the rounding of products."""
    samples: int = 4
    """Items of each task that are shown with what came of them, in evaluation.md and by the loggers: the first ones."""

    def __post_init__(self) -> None:
        for name, least in (("every_steps", 1), ("limit", 1), ("rows", 1), ("samples", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"callbacks.evaluation.{name}={value} must be at least {least}")

    def build(self, run: RunFacts) -> "Evaluation":
        """Return the callback, which shows samples in `<run_dir>/evaluation.md`."""
        return Evaluation(self, run)


class Evaluation(StepCallback):
    """Measures tasks at the beginning of a validation, when the weights that a run is judged by are in their place.

    They are published with the validation's own numbers: a validation without tasks has no value for them, so that
    nothing is judged by what was measured before. Copies of a model share the items; the processes of one that is
    spread make the same calls. The random state of training is not touched.
    """

    SECONDS = "evaluation/seconds"
    """The number under which it is published what the tasks of a validation took."""

    def __init__(self, config: EvaluationConfig, run: RunFacts) -> None:
        self.config, self.run = config, run
        self.measurements: Sequence[Measurement] = run.tasks
        self.file = SideFile(RunFolder(run.run_dir).evaluation)
        self.contamination: dict[str, list[dict[str, Any]]] | None = None
        """Task -> what of its items stands in each training text; None before the first evaluation."""
        self._found: list[Measured] = []
        self._measured_at = self._began_at = -1
        self._ending = False

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Have a validation made at every step that is measured; remove what a resumed run wrote after its checkpoint.

        What a validation that the checkpoint still owes has shown is shown again.
        """
        also_validate_every(trainer, self.config.every_steps)
        self._began_at, self._ending = trainer.global_step, False
        if trainer.is_global_zero:
            forget_after(self.file.path, trainer.global_step)

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measure when it is time; a collective."""
        if not is_fitting(trainer):
            return
        module = training_module(pl_module)
        theirs = self._is_of_others
        module.state.measured = {key: value for key, value in module.state.measured.items() if theirs(key)}
        self._found = []
        if self._is_due(trainer, module):
            self.measure(trainer, module)

    def _is_of_others(self, key: str) -> bool:
        """Whether a published number is none of this callback's."""
        mine = [f"val/{one.name}/" for one in self.measurements]
        return key != self.SECONDS and not key.startswith(tuple(mine))

    def _is_due(self, trainer: L.Trainer, module: TrainingModule) -> bool:
        ends = self._ending or trainer.should_stop or trainer.global_step >= trainer.max_steps
        return module.step % self.config.every_steps == 0 or (self.config.at_end and ends)

    def measure(self, trainer: L.Trainer, module: TrainingModule) -> None:
        """Measure every task and add the numbers to the validation's; none where the run has to stop meanwhile."""
        started = time.perf_counter()
        tokenizer, model = self.run.tokenizer, module.model
        assert tokenizer is not None, "a run has a tokenizer"
        cuda = [module.device] if module.device.type == "cuda" else []
        with torch.random.fork_rng(cuda), torch.no_grad(), writing(trainer):
            name = f"{self.run.name}, step {module.step}"
            decoder, rows = decoder_of(model), self.config.rows
            subject = Subject(decoder=decoder, tokenizer=tokenizer, name=name, rows=rows, model=model)
            found = [self._measure(one, subject, trainer, module) for one in self.measurements]
        reshard(model)
        whole = [measured for measured in found if measured is not None]
        if len(whole) < len(found):
            return
        self._found, self._measured_at = whole, trainer.global_step
        numbers = {f"val/{key}": value for measured in whole for key, value in measured.values().items()}
        numbers = trainer.strategy.broadcast({key: v for key, v in numbers.items() if not math.isnan(v)})
        module.state.measured |= {**numbers, self.SECONDS: time.perf_counter() - started}

    def _measure(
        self, task: Measurement, subject: Subject, trainer: L.Trainer, module: TrainingModule
    ) -> Measured | None:
        """Return the task's outcomes, those of all processes together; None when the run has to stop."""
        shares = 1 if is_sharded(trainer) else trainer.world_size
        dealt = blocks(range(task.size), subject.rows)  # the same neighbours in a batch, however many processes
        mine = dealt[trainer.global_rank if shares > 1 else 0 :: shares]
        outcomes: list[Outcome] = []
        for turn in range(math.ceil(len(dealt) / shares)):  # as many on every rank
            for outcome in task.outcomes(subject, mine[turn]) if turn < len(mine) else ():
                outcomes.append(outcome)
                _beat(trainer, f"item {outcome.item} of {task.name}, step {module.step}")
            if _has_to_stop(trainer, module):
                return None
        return Measured(task, sorted(_of_all(outcomes, shares), key=lambda outcome: outcome.item))

    def on_validated(self, trainer: L.Trainer, module: TrainingModule) -> None:
        """Show what was measured; the validation is whole now."""
        found, self._found = self._found, []
        if not found or not trainer.is_global_zero:
            return
        self._show(found, trainer)
        self._look_for_items(found)
        values = [f"{key} {value:.4g}" for measured in found for key, value in measured.values().items()]
        seconds = module.state.metrics.get(self.SECONDS, 0.0)
        log.info("step %d: tasks %s (%.1f s)", trainer.global_step, ", ".join(values), seconds)

    def _show(self, found: Sequence[Measured], trainer: L.Trainer) -> None:
        for measured in found:
            shown = measured.outcomes[: self.config.samples]
            scores = {name: measured.scores(name) for name in measured.quantities}
            rows = [
                _row(outcome, {name: score[place] for name, score in scores.items()})
                for place, outcome in enumerate(shown)
            ]
            if rows:
                self.file.append("".join(_section(trainer.global_step, measured.name, row) for row in rows))
                log_table(trainer.loggers, f"evaluation/{measured.name}", _aligned(rows), trainer.global_step)

    def _look_for_items(self, found: Sequence[Measured]) -> None:
        """Say once which tasks ask what stands in the training text."""
        if self.contamination is not None:
            return
        asked = {one.name: texts for one in found if (texts := item_texts(one))}
        self.contamination = {name: [] for name in asked}
        for folder in self.run.trained_on if asked else ():
            if (data := open_training_text(folder)) is None:
                continue
            for name, texts in asked.items():
                facts = as_facts(contamination(texts, data), data)
                self.contamination[name].append(facts)
                if (line := line_of(name, facts)) is not None:
                    log.warning("%s", line)

    def result(self) -> dict[str, Any]:
        """Return of which numbers the larger is the better, for comparisons of runs, and what stands in the text."""
        numbers = [(one.name, number) for one in self.measurements for number in one.quantities]
        better = [f"{task}/{number.name}" for task, number in numbers if number.higher_is_better]
        return {"higher_is_better": better, **({"contamination": self.contamination} if self.contamination else {})}

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measure the last step, unless it is measured or the run is to be continued."""
        step, self._ending = trainer.global_step, True
        new = step not in (self._measured_at, self._began_at)
        if self.config.at_end and new and not training_module(pl_module).state.stopping_to_resume:
            validate_now(trainer)


def _of_all(outcomes: list[Outcome], shares: int) -> list[Outcome]:
    """Return the outcomes of all processes that share the items."""
    if shares == 1:
        return outcomes
    together: list[Any] = [None] * shares
    dist.all_gather_object(together, outcomes)
    return [outcome for part in together for outcome in part]


def _has_to_stop(trainer: L.Trainer, module: TrainingModule) -> bool:
    """Whether a signal or the file STOP asks any rank to stop; the validation that begins is then broken off."""
    reasons = any(module.watch.stop_reasons_here()[:-1])  # time ends no evaluation
    return any_rank(reasons, module.device) if trainer.world_size > 1 else reasons


def _beat(trainer: L.Trainer, what: str) -> None:
    """Tell the watchdog that something moves."""
    for callback in callbacks_of(trainer):
        if isinstance(callback, Watchdog):
            callback.beat(what)


def _row(outcome: Outcome, scores: Mapping[str, float]) -> dict[str, str]:
    """Return an outcome as texts by column: its number, its scores, what its record holds."""
    numbers = {name: "-" if math.isnan(score) else f"{score:.4g}" for name, score in scores.items()}
    return {"item": str(outcome.item), **numbers, **{key: _text(value) for key, value in outcome.record.items()}}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _aligned(rows: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Return the rows with the same columns, empty where a row lacks one."""
    columns = dict.fromkeys(column for row in rows for column in row)
    return [{column: row.get(column, "") for column in columns} for row in rows]


def _section(step: int, task: str, row: Mapping[str, str]) -> str:
    """Return a section of evaluation.md; texts of several lines stand in a block."""
    blocks = [f"\n## step {step}, {task}, item {row['item']}\n\n{_FENCE}text\n"]
    for column, text in row.items():
        if column != "item":
            shown = printable_lines(text).replace(_FENCE, "'" * 4)
            blocks.append(f"{column}:\n{shown}\n" if "\n" in shown else f"{column}: {shown}\n")
    return "".join([*blocks, f"{_FENCE}\n"])
