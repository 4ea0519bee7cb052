"""`loss=distill` from the command line: a run beside its teacher, one from a store, going on, and what is refused."""

import csv
import json
import math
from dataclasses import replace

import pytest
from tests.training.distillation.teachers import write_teacher

from prospero import compose
from prospero.commands.distill import distill
from prospero.commands.teaching import teacher_source, teaching_of
from prospero.commands.train import train
from prospero.errors import ConfigError, DataError
from prospero.model.rnn import LSTMConfig
from prospero.runs.folder import RunFolder

DATA = [
    "data=files", "data.path=text.txt", "split=tail", "dedup=none", "cleaning=none", "tokenizer=byte", "seq_len=16",
    "global_batch_size=4", "trainer.accelerator=cpu", "trainer.precision=float32", "outputs_dir=out",
]  # fmt: skip
WORDS = [
    *DATA, "model=tiny", "model.d_model=16", "model.n_layers=1", "model.n_heads=2", "callbacks=[checkpoints]",
    "schedule=constant", "optimizer=adamw", "trainer.log_every_steps=1", "trainer.val_sequences=8",
    "trainer.test_sequences=8", "train_sequences=40", "max_steps=4",
]  # fmt: skip
BESIDE = ["loss=distill", "loss.distill.teacher=teacher", "loss.distill.temperature=2"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (tmp_path / "text.txt").write_text("".join(f"The {n}th line, and {n} more.\n" for n in range(900)))
    write_teacher(tmp_path / "teacher")
    return tmp_path


def run(*words):
    assert train(compose("train", [*WORDS, *words])) == 0


def column(folder, name):
    with open(folder / "metrics.csv", newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file) if row.get(name)]


def saved(folder, step):
    return next((folder / "checkpoints" / f"step_{step:08d}").glob("*.safetensors")).read_bytes()


@pytest.mark.heavy
def test_a_run_goes_on_bit_for_bit_with_the_teacher_it_began_with(place):
    run(*BESIDE, "run_dir=a")
    assert len(column(place / "a", "train/loss")) == 4 and all(loss > 0.5 for loss in column(place / "a", "train/loss"))
    assert column(place / "a", "val/perplexity") == [
        pytest.approx(math.exp(n)) for n in column(place / "a", "val/loss")
    ]
    receipt = json.loads((place / "a" / "teacher.json").read_text())
    assert receipt["given"] == "teacher" and len(receipt["fingerprint"]) == 64

    run(*BESIDE, "run_dir=b", "max_steps=2")
    run(*BESIDE, "run_dir=b", "resume=auto")
    assert saved(place / "b", 4) == saved(place / "a", 4)
    assert len(saved(place / "a", 4)) < 4 * 12_384 * 3.2, "weights and two moments of the student alone"


@pytest.mark.heavy
def test_a_store_of_all_tokens_trains_as_the_teacher_beside_and_needs_none(place, capsys):
    run(*BESIDE, "run_dir=a")
    assert distill(compose("distill", [*WORDS, *BESIDE, "top_k=257"])) == 0
    setting = capsys.readouterr().out.splitlines()[-1]
    assert setting.startswith("loss.distill.store=transformer-top257-")
    (place / "teacher").rename(place / "away")
    run("loss=distill", "loss.distill.temperature=2", setting, "run_dir=stored")
    beside, stored = (column(place / name, "train/loss") for name in ("a", "stored"))
    assert stored == pytest.approx(beside, rel=2e-3) and len(stored) == 4
    assert json.loads(RunFolder(place / "stored").teacher.read_text())["top_k"] == 257
    with pytest.raises(ConfigError, match=r"was written for seq_len=16, and this run has 8"):
        run("loss=distill", "loss.distill.temperature=2", setting, "seq_len=8", "run_dir=c")
    assert not (place / "c").exists()


@pytest.mark.heavy
def test_a_teacher_that_tells_documents_apart_is_told_of_them(place):
    """The student has no such bounds: beside it, the teacher has them in training all the same."""
    write_teacher(place / "bounded", replace(LSTMConfig(n_layers=1, d_model=16), document_attention=True))
    run("loss=[distill,cross_entropy]", "loss.distill.teacher=bounded", "max_steps=1", "run_dir=a")
    assert len(column(place / "a", "train/loss/distill")) == len(column(place / "a", "train/loss/cross_entropy")) == 1


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["loss=distill"], "loss.distill learns from a teacher; give loss.distill.teacher=<a run"),
        (["loss=distill", "loss.distill.teacher=nobody"], "loss.distill.teacher=nobody: There is no run 'nobody'"),
        (["loss=distill", "loss.distill.teacher=text.txt"], "loss.distill.teacher=text.txt is a file"),
        (["loss=distill", "loss.distill.store=none"], "loss.distill.store=none is neither a folder nor the name"),
        (
            [*BESIDE, "seq_len=33"],
            "the teacher teacher reads 32 tokens at once, fewer than seq_len=33; give seq_len=32",
        ),
        (
            [*BESIDE, "tokenizer=char"],
            "the teacher teacher reads other tokens .* give tokenizer=pretrained tokenizer.path=",
        ),
    ],
)
def test_what_cannot_teach_is_refused_before_anything_is_written(place, words, said):
    with pytest.raises(ConfigError, match=said):
        run(*words, "run_dir=a")
    assert not (place / "a").exists()


def test_a_run_that_goes_on_keeps_the_teacher_it_began_with(place):
    """`last` is the run itself by then; what it began with stands in its folder."""
    source = teacher_source("teacher", compose("train", [*DATA, *BESIDE]))
    config = compose("train", [*DATA, "loss=distill", "loss.distill.teacher=last", "run_dir=a", "resume=auto"])
    RunFolder(place / "a").path.mkdir()
    RunFolder(place / "a").teacher.write_text(json.dumps(replace(source, given="last").plain()))
    assert teaching_of(config).source == replace(source, given="last")
    with pytest.raises(ConfigError, match=r"began with loss\.distill\.teacher=last, not teacher"):
        teacher_source("teacher", config)
    RunFolder(place / "a").teacher.write_text("{}")
    with pytest.raises(DataError, match=r"teacher\.json is damaged"):
        teaching_of(config)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give loss=distill loss.distill.teacher="),
        (["loss=distill", "loss.distill.store=a"], "give loss=distill loss.distill.teacher="),
        ([*BESIDE, "top_k=258"], "top_k=258 is more than all 257 tokens"),
        ([*BESIDE, "top_k=0"], "top_k=0 stores nothing"),
        ([*BESIDE, "trainer.devices=2"], "distill uses one device"),
    ],
)
def test_what_cannot_be_stored_is_refused(place, words, said):
    with pytest.raises(ConfigError, match=said):
        distill(compose("distill", [*WORDS, *words]))
    assert not (place / "out" / "teachers").exists()
