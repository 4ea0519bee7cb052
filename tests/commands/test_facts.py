"""Facts from a file of triples to three columns of numbers: train, evaluate, generate, each by its own command."""

import json
from pathlib import Path

import pytest

from prospero.commands.evaluate import evaluate
from prospero.commands.generate import generate
from prospero.commands.train import train
from prospero.configuration.compose import compose
from prospero.errors import ConfigError, DataError
from prospero.runs.folder import EvaluationFolder
from prospero.training import results as training_results

pytestmark = pytest.mark.processes

ROWS = "".join(f"name{n}\tlives in\tplace{n % 8}\n" for n in range(60)) + "name1\tlives in\tplace1\n"
WORDS = [
    "data=triples", "data.path=facts.tsv", "data.reading_documents=20", "cleaning=none", "split=hash",
    "split.val_fraction=0.2", "tokenizer=byte", "model=tiny", "model.d_model=32", "model.n_heads=2",
    "model.n_layers=1", "seq_len=128", "global_batch_size=4", "packing=best_fit", "optimizer=adamw", "max_steps=2",
    "trainer.accelerator=cpu", "trainer.precision=float32", "callbacks=[checkpoints]", "run_dir=outputs/train/first",
]  # fmt: skip
CPU = ("trainer.accelerator=cpu", "trainer.devices=1", "tasks=[facts]", "tasks.facts.limit=5")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("facts")
    (folder / "facts.tsv").write_text(ROWS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(training_results, "write_report", lambda *_, **__: None)
        assert train(compose("train", WORDS)) == 0
    return folder


@pytest.fixture(autouse=True)
def here(place, monkeypatch):
    monkeypatch.chdir(place)


def run(*words: str) -> dict:
    assert evaluate(compose("evaluate", [*CPU, *words])) == 0
    (folder,) = (word.removeprefix("out=") for word in words if word.startswith("out="))
    return json.loads(EvaluationFolder(Path(folder)).results.read_text())["tasks"]["facts"]


def test_three_columns_of_a_run(capsys):
    found = run("out=one")
    assert found["facts"]["questions"] == {"weights": 5, "context": 5, "neither": 5} and found["items"] == 15
    for column in ("weights", "context", "neither"):
        assert found["values"][f"{column}_mrr"]["samples"] == 5
        assert 0 < found["values"][f"{column}_mrr_lives_in"]["value"] <= 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("  ")[0] == "facts, 95 % interval" and "in the weights" in lines[0]
    receipt = json.loads(next(Path("outputs/data").glob("*/receipt.json")).read_text())
    assert receipt["repairs"] == {"triples that stood there before": 1}
    rows = [json.loads(line) for line in EvaluationFolder(Path("one")).samples.read_text().splitlines()]
    informed = [row["record"] for row in rows if row["record"]["column"] == "context"]
    assert all(record["prompt"].startswith("Known: name") and record["facts"] for record in informed)


def test_another_retrieval_is_another_measurement():
    pytest.importorskip("bm25s", reason="bm25s is not installed: the extra retrieval")
    usual, other = run("out=two"), run("out=three", "retrieval=bm25", "retrieval.k=1")
    assert (usual["facts"]["retrieval"]["retrieval"], other["facts"]["retrieval"]["retrieval"]) == ("triples", "bm25")
    assert usual["made_with"] != other["made_with"]
    with pytest.raises(ConfigError, match="none of the tasks text has any"):
        evaluate(compose("evaluate", ["retrieval=bm25", "trainer.accelerator=cpu", "trainer.devices=1"]))


def test_facts_stand_before_a_prompt(capsys):
    words = ["run=first", "prompt=name3 lives in ", "sampling.max_new_tokens=3", "retrieval=triples"]
    assert generate(compose("generate", words)) == 0
    said = capsys.readouterr()
    assert said.out.startswith("Known: name3 lives in place3.\nname3 lives in ")
    assert "retrieval: 1 facts before the prompt" in said.err


def test_without_its_triples_it_is_said_in_one_line(place):
    (place / "facts.tsv").rename(place / "aside.tsv")
    try:
        from prospero.data.triples.of_run import knowledge_of

        knowledge_of.cache_clear()
        with pytest.raises(DataError, match=r"facts\.tsv does not exist") as error:
            run("out=four")
        assert "\n" not in str(error.value) and not Path("four").exists()
    finally:
        (place / "aside.tsv").rename(place / "facts.tsv")
