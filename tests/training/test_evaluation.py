"""Tasks inside training: when they are measured, with which weights, who judges by them, and what a kill leaves."""

import re
from dataclasses import replace

import pytest
import torch

from prospero.checkpoints.run_checkpoints import RunCheckpoints
from prospero.data.prepare import prepare
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.errors import ConfigError
from prospero.evaluation.measurement import Subject
from prospero.evaluation.monitor import Monitor
from prospero.generation.decoder import ModelDecoder
from prospero.model.transformer import TransformerConfig
from prospero.objective.losses.cross_entropy import CrossEntropyConfig
from prospero.objective.objective import Objective
from prospero.optim.adamw import AdamWConfig
from prospero.processes import signals
from prospero.runs.metrics import metric_series
from prospero.runs.report import write_report
from prospero.training.callbacks.base import StepCallback
from prospero.training.callbacks.checkpoints import CheckpointsConfig
from prospero.training.callbacks.early_stopping import EarlyStopping
from prospero.training.callbacks.ema import EMA, EMAConfig
from prospero.training.callbacks.evaluation import Evaluation, EvaluationConfig
from prospero.training.callbacks.throughput import Throughput
from prospero.training.loggers.base import RunLogger
from prospero.training.loggers.metrics_file import MetricsFile
from prospero.training.module import TrainingModule
from prospero.training.optimization import Optimization
from prospero.training.run_facts import RunFacts
from tests.data.shard_making import sentences, settings, write_corpus
from tests.training.number_task import Given, NextNumber
from tests.training.tiny import SEQ_LEN, VOCAB, Fall, TinyData, tiny_metrics, tiny_trainer

RIGHT, NATS = "val/next_number/right", "val/next_number/nats"


def module():
    torch.manual_seed(7)
    model = TransformerConfig(n_layers=1, d_model=16, n_heads=2, dropout=0.1).build(VOCAB, SEQ_LEN)
    how = Optimization(optimizer=AdamWConfig(lr=0.02), schedule=Fall(), total_steps=20, seed=3)
    return TrainingModule(model, Objective({"cross_entropy": CrossEntropyConfig().build()}, {}), tiny_metrics(), how)


def evaluation(folder, tasks, **settings):
    facts = RunFacts(run_dir=folder, tokenizer=ByteTokenizerConfig().build(lambda: iter(())), tasks=tasks)
    return EvaluationConfig(**settings).build(facts)


def fit(folder, callbacks, *, resume=None, loggers=(), **settings):
    trained = module()
    settings = {"max_steps": 10, "val_every_steps": 5} | settings
    trainer = tiny_trainer(folder, callbacks=callbacks, loggers=[MetricsFile(folder), *loggers], **settings)
    trainer.fit(trained, datamodule=TinyData(), ckpt_path=resume)
    return trained


def series(folder):
    return metric_series(folder / "metrics.csv")


def steps_of(folder, name):
    return [step for step, _ in series(folder).get(name, [])]


class Weights(StepCallback):
    """Keeps the weights after every step, and those in place while a validation measures."""

    def __init__(self):
        self.after, self.validated = {}, {}

    def on_step_end(self, trainer, module):
        self.after[module.step] = {name: p.detach().clone() for name, p in module.model.named_parameters()}

    def on_validation_batch_start(self, trainer, pl_module, *_):
        self.validated[pl_module.step] = {name: p.detach().clone() for name, p in pl_module.model.named_parameters()}


def measured_with(weights, task):
    """What the task says of a model with these weights, outside of any run."""
    model = TransformerConfig(n_layers=1, d_model=16, n_heads=2).build(VOCAB, SEQ_LEN)
    model.load_state_dict(weights, strict=False)
    tokenizer = ByteTokenizerConfig().build(lambda: iter(()))
    return task(Subject(decoder=ModelDecoder(model), tokenizer=tokenizer, name="")).values()


def test_numbers_are_those_of_the_model_of_that_step_and_stand_in_a_validation(tmp_path):
    weights, task = Weights(), NextNumber()
    fit(tmp_path, [evaluation(tmp_path, [task], every_steps=4), weights], accumulate=2, max_steps=11)
    assert steps_of(tmp_path, RIGHT) == steps_of(tmp_path, Evaluation.SECONDS) == [4, 8, 11]
    assert steps_of(tmp_path, "val/loss") == [4, 5, 8, 10, 11]
    assert task.asked == [*range(7)] * 3
    for name in ("right", "nats"):
        found = dict(series(tmp_path)[f"val/next_number/{name}"])
        for step in (4, 8, 11):
            assert found[step] == measured_with(weights.after[step], NextNumber())[f"next_number/{name}"], step
    assert "val/next_number/never" not in series(tmp_path), "nothing was measured"
    assert dict(series(tmp_path)[NATS])[11] < dict(series(tmp_path)[NATS])[4]


def test_training_goes_the_same_way_with_and_without(tmp_path):
    fit(tmp_path / "with", [evaluation(tmp_path / "with", [NextNumber()], every_steps=1)])
    fit(tmp_path / "without", [])
    ours, theirs = series(tmp_path / "with"), series(tmp_path / "without")
    assert ours["train/loss"] == theirs["train/loss"] and len(ours["train/loss"]) == 10
    assert [point for point in ours["val/loss"] if point[0] in (5, 10)] == theirs["val/loss"]


@pytest.mark.parametrize("average_first", [True, False])
def test_the_average_is_measured_where_it_is_validated(average_first, tmp_path):
    ema, weights = EMA(EMAConfig(decay=0.5)), Weights()
    callbacks = [ema, evaluation(tmp_path, [NextNumber()], every_steps=3)]
    fit(tmp_path, [*(callbacks if average_first else callbacks[::-1]), weights], max_steps=6)
    found = dict(series(tmp_path)[NATS])
    assert list(found) == [3, 6]
    for step, value in found.items():
        assert value == measured_with(weights.validated[step], NextNumber())["next_number/nats"]
        assert value != measured_with(weights.after[step], NextNumber())["next_number/nats"]


def test_the_best_checkpoint_is_judged_where_its_number_is_fresh(tmp_path):
    monitor = Monitor("val/given/value", higher_is_better=True)
    facts = RunFacts(run_dir=tmp_path, monitor=monitor)
    saves = CheckpointsConfig(every_steps=5, keep_last=9).build(facts)
    measures = evaluation(tmp_path, [Given([0.5, 0.9, 0.7])], every_steps=4)
    trained = fit(tmp_path, [measures, saves], max_steps=12)
    found = RunCheckpoints(tmp_path / "checkpoints")
    values = {entry["step"]: entry["value"] for entry in saves.entries}
    assert values == {4: 0.5, 5: None, 8: 0.9, 10: None, 12: None}
    best = found.best(monitor.name, higher_is_better=True)
    assert best.step == 8 and best.manifest["metrics"]["val/given/value"] == 0.9
    assert "val/loss" in best.manifest["metrics"]
    assert trained.state.metrics["val/given/value"] == 0.7


def test_a_save_waits_for_the_validation_that_tasks_ask_for(tmp_path):
    saves = CheckpointsConfig(every_steps=4, keep_last=9, keep_best=0).build(RunFacts(run_dir=tmp_path))
    fit(tmp_path, [evaluation(tmp_path, [Given([0.5, 0.6])], every_steps=4), saves], max_steps=8, val_every_steps=0)
    found = RunCheckpoints(tmp_path / "checkpoints").last()
    assert found.step == 8 and found.manifest["metrics"]["val/given/value"] == 0.6


def test_a_validation_without_tasks_forgets_their_numbers(tmp_path):
    measures = evaluation(tmp_path, [Given([0.5])], every_steps=4, at_end=False)
    trained = fit(tmp_path, [measures], max_steps=5)
    assert "val/given/value" not in trained.state.metrics and "val/loss" in trained.state.metrics
    assert steps_of(tmp_path, "val/given/value") == [4]


def test_early_stopping_counts_evaluations_and_the_last_step_is_measured(tmp_path):
    stopping = EarlyStopping(2, 0.0, Monitor("val/given/value", higher_is_better=True))
    measures = evaluation(tmp_path, [Given([0.5, 0.4, 0.3, 0.2])], every_steps=2)
    trained = fit(tmp_path, [measures, stopping], max_steps=20, val_every_steps=1)
    assert trained.state.step == 6 and stopping.validations_without_improvement == 2
    assert trained.state.stop_reason.startswith("early stopping: val/given/value has not risen above 0.5000 for 2")


def test_a_run_that_ends_between_is_measured_at_its_end_once(tmp_path):
    class Stop(StepCallback):
        def on_validated(self, trainer, module):
            trainer.should_stop = trainer.should_stop or module.step == 5

    fit(tmp_path / "a", [evaluation(tmp_path / "a", [Given([0.5, 0.4])], every_steps=4), Stop()])
    assert series(tmp_path / "a")["val/given/value"] == [(4, 0.5), (5, 0.4)]
    fit(tmp_path / "b", [evaluation(tmp_path / "b", [Given([0.5])], every_steps=4, at_end=False), Stop()])
    assert series(tmp_path / "b")["val/given/value"] == [(4, 0.5)]


def test_a_run_that_goes_on_measures_the_same_and_says_nothing_twice(tmp_path):
    def parts(folder):
        saves = CheckpointsConfig(every_steps=5, keep_last=9, keep_best=0).build(RunFacts(run_dir=folder))
        return [evaluation(folder, [NextNumber()], every_steps=4, samples=2), saves]

    whole, again = tmp_path / "whole", tmp_path / "again"
    fit(whole, parts(whole), max_steps=12)
    fit(again, parts(again), max_steps=12)
    fit(again, parts(again), max_steps=12, resume=again / "checkpoints" / "step_00000005")
    for name in (RIGHT, NATS, "val/loss"):
        assert series(again)[name] == series(whole)[name]
    assert (again / "evaluation.md").read_text() == (whole / "evaluation.md").read_text()


def test_a_run_that_is_stopped_meanwhile_publishes_nothing_and_makes_up_for_it(tmp_path):
    class Stopped(NextNumber):
        def outcomes(self, subject, items):
            for outcome in super().outcomes(subject, items):
                if signals.watch.active:
                    signals.watch.received = 15
                yield outcome

    def parts(task):
        saves = CheckpointsConfig(keep_last=9, keep_best=0).build(RunFacts(run_dir=tmp_path))
        return [evaluation(tmp_path, [task], every_steps=4, rows=1), saves]

    task = Stopped(size=9)
    trained = fit(tmp_path, parts(task), max_steps=8)
    assert trained.state.exit_code == 128 + 15 and trained.state.step == 4
    assert task.asked == [0], "it ends with the block"
    assert steps_of(tmp_path, RIGHT) == steps_of(tmp_path, "val/loss") == []
    assert not (tmp_path / "evaluation.md").exists()
    fit(tmp_path, parts(NextNumber(size=9)), max_steps=8, resume=tmp_path / "checkpoints" / "step_00000004")
    assert steps_of(tmp_path, RIGHT) == [4, 8]


def test_what_it_takes_is_a_pause_of_training(tmp_path):
    speed = Throughput(RunFacts(run_dir=tmp_path), peak_flops=1.0)
    trained = fit(tmp_path, [evaluation(tmp_path, [NextNumber()], every_steps=2), speed], val_every_steps=0)
    seconds = sum(value for _, value in series(tmp_path)[Evaluation.SECONDS])
    assert 0 < seconds < trained.state.paused_seconds < trained.state.seconds


class Tables(RunLogger):
    """Keeps what it is given."""

    def __init__(self):
        super().__init__()
        self.found = []

    def open_at(self, step):
        pass

    def write_metrics(self, metrics, step):
        pass

    def write_table(self, name, rows, step):
        self.found.append((name, rows, step))

    def finish(self, exit_code):
        pass


def test_samples_are_shown_in_the_file_the_loggers_and_the_report(tmp_path):
    tables = Tables()
    measures = evaluation(tmp_path, [NextNumber(), Given([0.5, 0.6])], every_steps=4, samples=2)
    fit(tmp_path, [measures], loggers=[tables], max_steps=8)
    text = (tmp_path / "evaluation.md").read_text()
    heads = ["next_number, item 0", "next_number, item 1", "given, item 0"]
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == [f"step {s}, {head}" for s in (4, 8) for head in heads]
    assert "never: -\nprompt: [0, 1, 2]\nprediction:\n" in text
    assert [(name, step) for name, _, step in tables.found] == [
        (f"evaluation/{task}", step) for step in (4, 8) for task in ("next_number", "given")
    ]
    rows = tables.found[0][1]
    assert list(rows[0]) == ["item", "right", "nats", "never", "prompt", "prediction", "references"]
    assert [row["item"] for row in rows] == ["0", "1"] and rows[0]["references"] == "[1]"
    page = write_report(tmp_path, title="t", config={"tasks": {"next_number": {}}}).read_text()
    without = write_report(tmp_path, title="t", config={}).read_text()
    assert page.count("<svg") - without.count("<svg") == 2  # right and nats
    assert "What the tasks saw" in page and "step 8, next_number, item 1" in page


def test_the_result_says_which_way_is_better(tmp_path):
    measures = evaluation(tmp_path, [NextNumber(), Given([], higher_is_better=False)])
    assert measures.result() == {"higher_is_better": ["next_number/right", "next_number/never"]}


QUOTED = "This sentence of the evaluation set stands in the training text too, word for word."


class Quoted(NextNumber):
    """Its items ask what the training text says."""

    def outcomes(self, subject, items):
        for outcome in super().outcomes(subject, items):
            yield replace(outcome, record={"prompt": QUOTED})


def test_items_that_stand_in_the_training_text_are_said_once_and_in_the_result(tmp_path, caplog):
    corpus = write_corpus(tmp_path / "corpus", [*sentences(100), *(f"{QUOTED} {n}" for n in range(5))])
    data = prepare(settings(corpus, tmp_path), progress=False)
    facts = RunFacts(
        run_dir=tmp_path, tokenizer=ByteTokenizerConfig().build(lambda: iter(())), tasks=[Quoted()],
        trained_on=[data.directory],
    )  # fmt: skip
    measures = EvaluationConfig(every_steps=4).build(facts)
    fit(tmp_path, [measures], max_steps=8)
    assert sum("items stand in the training text" in line for line in caplog.messages) == 1
    (found,) = measures.result()["contamination"]["next_number"]
    assert found["data"] == data.fingerprint and found["contained"] == Quoted().size


def test_without_samples_there_is_no_file(tmp_path):
    fit(tmp_path, [evaluation(tmp_path, [NextNumber()], every_steps=4, samples=0)], max_steps=4)
    assert not (tmp_path / "evaluation.md").exists() and steps_of(tmp_path, RIGHT) == [4]


@pytest.mark.parametrize(("name", "value"), [("every_steps", 0), ("limit", 0), ("rows", 0), ("samples", -1)])
def test_settings_that_cannot_be(name, value):
    with pytest.raises(ConfigError, match=rf"^callbacks.evaluation.{name}={value} must be at least"):
        EvaluationConfig(**{name: value})
