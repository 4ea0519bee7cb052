"""The steps of `evaluate` and `analyse`: the model, the folder, the measuring shared by all processes, the results."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch

from prospero.commands.contamination_check import contaminations
from prospero.commands.opening import ModelPlace, OpenModel
from prospero.configuration import written
from prospero.data.prepare import find_prepared
from prospero.data.retrieval import RetrievalFacts
from prospero.errors import ConfigError
from prospero.evaluation.contamination import line_of
from prospero.evaluation.measurement import Measurement, Subject
from prospero.evaluation.metrics.collection import text_metrics_of
from prospero.evaluation.metrics.text_base import TextMetric
from prospero.evaluation.report import write_evaluation_report
from prospero.evaluation.results import estimates, table, tables_as_text, task_results
from prospero.evaluation.run_tasks import Share, measure_all, measured, missing_items
from prospero.evaluation.samples_file import (
    Line,
    SamplesWriter,
    bring_together,
    check_made_with,
    read_samples,
)
from prospero.evaluation.tasks.base import TaskFacts
from prospero.evaluation.tasks.base import build_tasks as tasks_of
from prospero.generation.batch_file import settings_mark
from prospero.generation.decoder import ModelDecoder
from prospero.generation.settings import Precision
from prospero.log import log
from prospero.paths import write_text
from prospero.plain import plain
from prospero.printable import printable
from prospero.processes import ranks
from prospero.processes.locks import try_lock
from prospero.processes.rendezvous import Rendezvous
from prospero.runs.environment import environment
from prospero.runs.folder import EvaluationFolder
from prospero.secret_values import scrub
from prospero.training.parts import TrainerSettings

if TYPE_CHECKING:
    from prospero.commands.evaluate import EvaluateConfig
    from prospero.training.trainer import Hardware


class Measuring(Protocol):
    """Settings of a verb that measures a model."""

    trainer: TrainerSettings
    run: str
    seed: int
    out: str | None
    batch_size: int
    outputs_dir: str

    @property
    def precision(self) -> Precision:
        """What the weights are held in."""
        ...

    @property
    def parts(self) -> Mapping[str, Any]:
        """What is measured, by name, with its settings."""
        ...

    @property
    def kept_in(self) -> str:
        """The folder beside a run's files, or in outputs_dir, that holds such measurements."""
        ...


@dataclass(frozen=True, slots=True)
class OpenSubject:
    """The model that is measured, and what tells it from others."""

    subject: Subject
    mark: list[Any]
    description: dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Job:
    """An evaluation whose folder is open."""

    config: Measuring
    place: ModelPlace
    tasks: list[Measurement]
    opened: OpenSubject
    rendezvous: Rendezvous
    folder: EvaluationFolder
    made_with: dict[str, str]
    """Task -> the mark of its samples."""
    missing: dict[str, list[int]] = field(default_factory=dict)
    """Task -> the items that have no line yet."""


def build_tasks(config: "EvaluateConfig", place: ModelPlace) -> list[Measurement]:
    """Return the tasks with their items read; ConfigError and DataError before any weight is."""
    texts, tokens = _metrics(config)
    data = Path(config.outputs_dir, "data")
    prepared = find_prepared(data, place.data_fingerprint)
    facts = TaskFacts(
        metrics=texts,
        token_metrics=tokens,
        validation=prepared,
        trained_before=[find_prepared(data, fingerprint) for fingerprint in place.trained_before],
        tokenizer=place.tokenizer,
        seq_len=place.seq_len,
        document_ids=place.document_ids,
        seed=config.seed,
        limit=config.limit,
        outputs_dir=config.outputs_dir,
        retrieval=None if config.retrieval is None else config.retrieval.build(RetrievalFacts(prepared=prepared)),
    )
    return tasks_of(config.tasks, facts)


def _metrics(config: "EvaluateConfig") -> tuple[dict[str, TextMetric], dict[str, Any]]:
    """Return the metrics of texts, built, and the settings of those of tokens, which a task builds for its text."""
    texts = text_metrics_of(config.metrics, config.outputs_dir)
    return texts, {name: settings for name, settings in config.metrics.items() if name not in texts}


def open_subject(config: Measuring, place: ModelPlace, hardware: "Hardware") -> OpenSubject:
    """Read the model's weights onto this process's device."""
    model, tokenizer, description = place.load()
    if tokenizer is None:
        raise ConfigError(f"{place.folder} has no tokenizer.json, so it reads no text; give the run's folder")
    kind = hardware.accelerator.name
    model.to(f"cuda:{ranks.local_rank()}" if kind == "gpu" else kind)
    opened = OpenModel(model, tokenizer, description)
    mark = opened.mark(config.precision)
    if config.precision is Precision.float32 and model.reads_document_ids:
        decoder = ModelDecoder(model)  # the packed one does not hold attention within documents
    else:
        decoder = opened.decoder(config.precision, rows=config.batch_size, outputs_dir=config.outputs_dir)
    subject = Subject(decoder=decoder, tokenizer=tokenizer, name=place.name, rows=config.batch_size, model=model)
    return OpenSubject(subject, mark, description)


@contextmanager
def open_folder(
    config: Measuring,
    place: ModelPlace,
    tasks: list[Measurement],
    opened: OpenSubject,
    rendezvous: Rendezvous,
) -> Iterator[Job]:
    """Open the folder of the evaluation in every process, and see what of it is done; rank 0 holds its lock.

    A folder that was made for nothing, because no item was measured, is removed again.
    """
    rendezvous.all_ready()
    made_with = {task.name: _mark(config, task, opened.mark) for task in tasks}
    folder = EvaluationFolder(Path(rendezvous.share("folder", lambda: str(_place_of(config, place, made_with)))))
    job = Job(
        config=config, place=place, tasks=tasks, opened=opened, rendezvous=rendezvous, folder=folder,
        made_with=made_with,
    )  # fmt: skip
    if rendezvous.rank:
        job.missing = rendezvous.share("missing", dict)
        if not folder.path.is_dir():
            raise ConfigError(
                f"the folder {folder.path} of rank 0 is not to be seen from rank {rendezvous.rank}; give out= on a "
                "disk that all machines share"
            )
        yield job
        return
    made = [path for path in (folder.path, *folder.path.parents) if not path.exists()]
    handle = _locked(folder)
    try:
        job.missing = rendezvous.share("missing", lambda: _see_what_is_done(job))
        yield job
    finally:
        os.close(handle)
        _remove_if_empty(folder, made)


def _mark(config: Measuring, task: Measurement, model: list[Any]) -> str:
    """Return what differs when the model, the task, its data or its numbers do."""
    names = [quantity.name for quantity in task.quantities]
    return settings_mark(model, task.name, plain(config.parts[task.name]), task.facts, task.size, names, config.seed)


def _place_of(config: Measuring, place: ModelPlace, made_with: Mapping[str, str]) -> Path:
    if config.out is not None:
        return Path(config.out).resolve()
    name = f"{'+'.join(made_with)[:80]}-{settings_mark(made_with)[:8]}"
    if place.run is not None:
        return (place.run.path / config.kept_in / name).resolve()
    return Path(config.outputs_dir, config.kept_in, place.name, name).resolve()


def _locked(folder: EvaluationFolder) -> int:
    """Make the folder and lock it; ConfigError where it cannot be written, or another command works in it."""
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        handle = try_lock(folder.lock)
    except OSError as error:
        raise ConfigError(f"nothing can be written to {folder.path} ({error.strerror}); give out=") from error
    if handle is None:
        raise ConfigError(f"another command works in {folder.path}; wait for it, or choose another out=")
    return handle


def _see_what_is_done(job: Job) -> dict[str, list[int]]:
    """Bring the lines of a killed job together; return the items of each task that have none."""
    lines = read_samples(job.folder)
    check_made_with(lines, job.made_with, {task.name: task.size for task in job.tasks}, job.folder.path)
    if lines:
        bring_together(job.folder, lines, list(job.made_with))
    found = {task.name: [line.outcome.item for line in lines if line.task == task.name] for task in job.tasks}
    for name, items in found.items():
        if items:
            log.info("%s holds %s items of %s already", _short(job.folder.path), f"{len(items):,}", name)
    return {task.name: missing_items(task, found[task.name]) for task in job.tasks}


def _remove_if_empty(folder: EvaluationFolder, made: list[Path]) -> None:
    """Remove what an evaluation that measured nothing has made."""
    for path in (folder.samples, *folder.shares()):
        if path.is_file() and path.stat().st_size == 0:
            path.unlink()
    if made and [path.name for path in folder.path.iterdir()] == [folder.lock.name]:
        folder.lock.unlink()
    for path in made:
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def measure(job: Job) -> dict[str, float]:
    """Measure this process's share of the missing items; on rank 0 wait for the others'. Return seconds per task."""
    rendezvous = job.rendezvous
    seconds = measure_all(
        job.tasks,
        job.opened.subject,
        job.missing,
        share=Share(rank=rendezvous.rank, world_size=rendezvous.world_size),
        made_with=job.made_with,
        open_writer=lambda: SamplesWriter(job.folder.share(rendezvous.rank)),
    )
    if rendezvous.rank:
        rendezvous.put(f"measured/{rendezvous.rank}", json.dumps(seconds))
        return seconds
    others = rendezvous.gather("measured") if rendezvous.world_size > 1 else {}
    for text in others.values():
        seconds = {name: max(took, json.loads(text)[name]) for name, took in seconds.items()}
    return seconds


def write_results(job: Job, seconds: Mapping[str, float]) -> None:
    """Bring the samples together, compute every number with its interval, write the files and print the table."""
    lines: list[Line] = read_samples(job.folder)
    bring_together(job.folder, lines, list(job.made_with))
    found = [measured(task, lines) for task in job.tasks]
    numbers = {one.name: estimates(one, seed=job.config.seed) for one in found}
    place, outputs_dir = job.place, job.config.outputs_dir
    checked = contaminations(found, place, outputs_dir, job.folder.results, job.made_with)
    settings = written.redact(plain(job.config))
    facts = environment()
    results = {
        "run": str(job.place.folder),
        "model": {"name": job.opened.subject.name, "mark": settings_mark(job.opened.mark), **_model_facts(job)},
        "tasks": {
            one.name: task_results(
                one,
                numbers[one.name],
                seconds=seconds[one.name],
                items_done=len(one.outcomes) - len(job.missing[one.name]),
                made_with=job.made_with[one.name],
            )
            | ({"contamination": checked[one.name]} if one.name in checked else {})
            for one in found
        },
        "interval": {"share": 0.95, "how": "bootstrap over items, see evaluation/statistics/bootstrap.py"},
        "settings": settings,
        "processes": job.rendezvous.world_size,
        "versions": {"python": facts["python"], **facts["packages"]},
        "processor": facts["cpu"],
        "git": facts["git"].get("commit"),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_text(job.folder.results, scrub(json.dumps(results, indent=1, default=str)) + "\n")
    write_evaluation_report(
        job.folder,
        title=f"{job.opened.subject.name}: {', '.join(numbers)}",
        subtitle=f"{job.place.folder} · {results['date']} · {job.config.precision.name}",
        measured=found,
        found=numbers,
        settings=settings,
        seed=job.config.seed,
    )
    for one in job.tasks:
        one.leave(job.folder.path)
    for line in table(numbers, {one.name: one.grids for one in found}):
        print(printable(line))
    for line in tables_as_text(found):
        print(printable(line))
    for line in (line_of(name, facts) for name, every in checked.items() for facts in every):
        if line is not None:
            print(printable(line))
    sys.stdout.flush()
    log.info("look at %s; every item stands in %s", _short(job.folder.report), _short(job.folder.samples))


def _model_facts(job: Job) -> dict[str, Any]:
    description = job.opened.description
    return {
        "kind": description["model"].get("name"),
        "checkpoint": description["facts"].get("checkpoint"),
        "step": description["facts"].get("step"),
        "data_fingerprint": description["facts"].get("data_fingerprint"),
        "device": str(torch.device("cpu")) if job.config.trainer.hardware().accelerator.name == "cpu" else "gpu",
    }


def _short(path: Path) -> Path:
    """A path relative to the current folder where it lies inside, which reads better."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
