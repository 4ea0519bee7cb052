"""`prospero evaluate`: a run's own validation again, wherever the model lies; kills, several processes, refusals."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests import programs

from prospero.commands.evaluate import EvaluateConfig, evaluate
from prospero.commands.export import export
from prospero.commands.train import train
from prospero.configuration.compose import compose
from prospero.errors import ConfigError, DataError
from prospero.evaluation.metrics.text_base import TextMetric
from prospero.processes.locks import try_lock
from prospero.runs.folder import EvaluationFolder, RunFolder
from prospero.training import results as training_results

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]
WORDS = [
    "data=files", "data.path=text.txt", "tokenizer=bpe", "tokenizer.vocab_size=300", "model=tiny", "model.d_model=32",
    "model.n_heads=2", "model.n_layers=1", "seq_len=32", "global_batch_size=4", "micro_batch_size=4",
    "optimizer=adamw", "trainer.accelerator=cpu", "trainer.precision=float32", "trainer.val_sequences=7",
    "trainer.test_sequences=4", "callbacks=[checkpoints]", "max_steps=3", "run_dir=outputs/train/first",
]  # fmt: skip
CPU = ("trainer.accelerator=cpu", "trainer.devices=1")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    (folder / "text.txt").write_text("".join(f"The {n}th line, and {n * n} more.\n" for n in range(1500)))
    (folder / "other.txt").write_text("The 7th line, and something else of it: é.\n" * 30)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(training_results, "write_report", lambda *_, **__: None)
        assert train(compose("train", WORDS)) == 0
    return folder


@pytest.fixture(autouse=True)
def here(place, monkeypatch):
    """Each test leaves the run as it was."""
    monkeypatch.chdir(place)
    yield
    shutil.rmtree(place / "outputs" / "train" / "first" / "evaluations", ignore_errors=True)
    shutil.rmtree(place / "outputs" / "evaluations", ignore_errors=True)
    for path in place.glob("out*"):
        if path.name != "outputs":
            shutil.rmtree(path)


def run(*words: str) -> None:
    assert evaluate(compose("evaluate", [*CPU, *words])) == 0


def results(folder) -> dict:
    return json.loads(EvaluationFolder(Path(folder)).results.read_text())


def values(folder) -> dict[str, float]:
    return {name: one["value"] for name, one in results(folder)["tasks"]["text"]["values"].items()}


def test_the_validation_of_the_run_comes_out_again(capsys):
    run("tasks.text.limit=7")
    with open(RunFolder(Path("outputs/train/first")).metrics, newline="") as file:
        last = [row for row in csv.DictReader(file) if row.get("val/loss")][-1]
    (folder,) = Path("outputs/train/first/evaluations").iterdir()
    found = values(folder)
    assert set(found) == {"loss", "perplexity", "bits_per_byte", "accuracy"}
    for name, value in found.items():
        assert value == pytest.approx(float(last[f"val/{name}"]), rel=1e-5), name
    task = results(folder)["tasks"]["text"]
    assert task["items"] == 7 and task["facts"]["sequences"] == 7 and task["facts"]["seq_len"] == 32
    assert all(one["low"] < one["value"] < one["high"] for one in task["values"].values())
    said = capsys.readouterr()
    assert f"text/loss           {found['loss']:.4f}  " in said.out and "lower is better" in said.out
    assert "look at outputs/train/first/evaluations/text-" in said.err
    assert "The " in EvaluationFolder(folder).report.read_text()


def test_the_same_command_does_nothing_twice(capsys):
    run("limit=9")
    (folder,) = Path("outputs/train/first/evaluations").iterdir()
    before, first = EvaluationFolder(folder).samples.read_bytes(), capsys.readouterr()
    run("limit=9")
    assert [folder] == list(Path("outputs/train/first/evaluations").iterdir())
    assert EvaluationFolder(folder).samples.read_bytes() == before
    again = capsys.readouterr()
    assert "holds 9 items of text already" in again.err and again.out == first.out
    assert results(folder)["tasks"]["text"]["items_of_earlier_calls"] == 9
    run("limit=8")
    assert len(list(Path("outputs/train/first/evaluations").iterdir())) == 2


def test_a_model_is_the_same_wherever_it_lies(place):
    export(compose("export", ["run=first", "to=huggingface", "out=out_hf"]))
    shutil.copytree("outputs/train/first/model", "out_model")
    (checkpoint,) = Path("outputs/train/first/checkpoints").glob("step_*")
    for number, run_ in enumerate(("first", "outputs/train/first/model", str(checkpoint), "out_model", "out_hf")):
        run(f"run={run_}", "tasks.text.path=other.txt", f"out=out{number}")
    first = values("out0")
    assert first["bits_per_byte"] > 1
    for number in range(1, 4):
        assert values(f"out{number}") == first
    assert values("out4") == pytest.approx(first, rel=1e-5)
    names = [results(f"out{number}")["model"]["name"] for number in range(5)]
    assert names == ["first", "first", f"first {checkpoint.name}", "out_model", "out_hf"]
    run("run=out_model", "tasks.text.path=other.txt")
    assert (
        len(list(Path("outputs/evaluations/out_model").iterdir())) == 1 and not Path("out_model/evaluations").exists()
    )


def test_without_its_data_a_task_fails_before_the_model_is_read(place):
    weights = RunFolder(place / "outputs/train/first").model / "model.safetensors"
    whole = weights.read_bytes()
    (place / "outputs" / "data").rename(place / "aside")
    try:
        weights.write_bytes(b"nothing to be read")
        with pytest.raises(DataError, match=r"tasks.text: the prepared data .* are not here; prepare them again"):
            run()
    finally:
        weights.write_bytes(whole)
        (place / "aside").rename(place / "outputs" / "data")
    assert not RunFolder(place / "outputs/train/first").evaluations.exists()
    assert not list(place.glob("outputs/evaluations"))


def test_what_fails_at_its_first_item_leaves_nothing(place):
    with pytest.raises(ConfigError, match=r"tasks.text.seq_len=33: the model reads 32 tokens at once"):
        run("tasks.text.seq_len=33")
    assert not RunFolder(place / "outputs/train/first").evaluations.exists()
    Path("out_mine").mkdir()
    with pytest.raises(ConfigError, match=r"seq_len=33"):
        run("tasks.text.seq_len=33", "out=out_mine/deep/er")
    assert list(Path("out_mine").iterdir()) == []


def test_samples_of_another_evaluation_are_not_mixed(place):
    run("out=out_a", "limit=5")
    before = EvaluationFolder(Path("out_a")).samples.read_bytes()
    for words in (["limit=6"], ["limit=5", "precision=bf16"], ["limit=5", "metrics=[loss]"], ["limit=5", "seed=2"]):
        with pytest.raises(ConfigError, match="holds samples of text that were made by another model or with other"):
            run("out=out_a", *words)
    assert EvaluationFolder(Path("out_a")).samples.read_bytes() == before
    run("out=out_a", "limit=5", "batch_size=2")


def test_one_evaluation_at_a_time_works_in_a_folder():
    run("out=out_a", "limit=2")
    handle = try_lock(EvaluationFolder(Path("out_a")).lock)
    assert handle is not None
    try:
        with pytest.raises(ConfigError, match=r"another command works in .*out_a; wait for it"):
            run("out=out_a", "limit=2")
    finally:
        os.close(handle)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tasks=[txt]"], "There is no tasks 'txt'. Did you mean 'text'?"),
        (["tasks.text.limt=3"], "There is no setting 'tasks.text.limt'. Did you mean 'tasks.text.limit'?"),
        (["lmit=3"], "There is no setting 'lmit'. Did you mean 'limit'?"),
        (["tasks=[]"], "tasks=[] measures nothing; choose at least one"),
        (["limit=0"], "limit=0 measures nothing"),
        (["run="], "run= is empty"),
        (["precision=auto"], "precision=auto chooses by the clock"),
    ],
)
def test_mistakes_are_said(words, said):
    with pytest.raises(ConfigError) as error:
        compose("evaluate", words)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run=fist"], "There is no run 'fist' in outputs/train. Did you mean 'first'?"),
        (["trainer=fsdp"], "trainer.strategy=fsdp: here each process holds the whole model; use trainer=ddp"),
        (["trainer.max_grad_norm=2.0"], "trainer.max_grad_norm does not act on an evaluation"),
        (["trainer.precision=bf16"], "trainer.precision does not act on an evaluation .*give precision= instead"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_read(words, said, place):
    with pytest.raises(ConfigError, match=said.replace("?", r"\?")):
        run(*words)
    assert not RunFolder(place / "outputs/train/first").evaluations.exists()


class Length(TextMetric):
    """Characters of what was written."""

    name = "length"

    def statistics(self, samples):
        return np.array([[len(sample.prediction), 1.0] for sample in samples])

    def finish(self, sums):
        return sums[..., 0] / sums[..., 1]


class LengthConfig:
    def build(self, facts):
        return Length()


def test_a_metric_that_no_task_measures_is_refused():
    config = compose("evaluate", [*CPU])
    made = EvaluateConfig(tasks=config.tasks, metrics={"length": LengthConfig()}, trainer=config.trainer)
    with pytest.raises(ConfigError, match=r"metrics.length scores written texts, and none of the tasks text writes"):
        evaluate(made)


def program(*words: str) -> list[str]:
    return [sys.executable, str(ROOT / "evaluate.py"), "trainer.accelerator=cpu", *words]


ALONE = {name: value for name, value in os.environ.items() if not name.startswith(("LOCAL_", "RANK", "WORLD_"))}
ENVIRONMENT = {**ALONE, "OMP_NUM_THREADS": "1"}


@pytest.mark.deep
def test_two_processes_leave_the_samples_and_numbers_of_one():
    words = ["limit=41", "batch_size=4", "tasks.text.path=text.txt"]
    run(*words, "out=out_one")
    command = program(*words, "out=out_two", "trainer=ddp", "trainer.devices=2")
    done = programs.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    one, two = EvaluationFolder(Path("out_one")), EvaluationFolder(Path("out_two"))
    assert two.samples.read_bytes() == one.samples.read_bytes() and not two.shares()
    assert results("out_two")["tasks"]["text"]["values"] == results("out_one")["tasks"]["text"]["values"]
    assert results("out_two")["processes"] == 2
    assert done.stdout.count("text/loss") == 1 and done.stderr.count("look at") == 1


def test_a_killed_evaluation_goes_on_as_if_nothing_had_been():
    """kill -9 once some items are written; the second call measures the others only."""
    words = ["batch_size=1", "tasks.text.path=text.txt", "tasks.text.seq_len=8", "limit=600"]
    process = subprocess.Popen(program(*words, "out=out_killed"), env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    samples = EvaluationFolder(Path("out_killed")).samples
    end = time.monotonic() + 200
    while not (samples.is_file() and samples.read_bytes().count(b"\n") > 20):
        assert process.poll() is None and time.monotonic() < end, "it should have begun by now"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = samples.read_bytes().count(b"\n")
    assert 20 < done < 600
    with open(samples, "ab") as file:
        file.write(b'{"task": "text", "item": 14')
    run(*words, "out=out_killed")
    run(*words, "out=out_whole")
    assert results("out_killed")["tasks"]["text"]["items_of_earlier_calls"] == done
    whole = EvaluationFolder(Path("out_whole"))
    assert samples.read_bytes() == whole.samples.read_bytes()
    assert results("out_killed")["tasks"]["text"]["values"] == results("out_whole")["tasks"]["text"]["values"]
