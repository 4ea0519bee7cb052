"""The guards of a run as a user starts it: real processes, real signals, data that spoil the loss."""

import csv
import json
import signal
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.training.guards.program import start, train, write_text

pytestmark = pytest.mark.processes

BAD = ["callbacks.poison.first=48", "callbacks.poison.last=84"]  # in the batches of steps 13 to 21
BACK = ["max_steps=24", "callbacks.checkpoints.every_steps=5", *BAD]
DDP = ["trainer=ddp", "trainer.devices=2"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = write_text(tmp_path_factory.mktemp("guards"))
    code, said = train(*BACK, "run_dir=outputs/back", folder=folder)
    assert code == 0, said
    (folder / "said").write_text(said)
    return folder


def weights(folder: Path):
    return load_file(folder / "model" / "model.safetensors")


def rows(folder: Path):
    """The rows of metrics.csv without what is measured with a clock."""
    with open(folder / "metrics.csv", newline="") as file:
        return [
            {k: v for k, v in row.items() if not k.endswith(("seconds", "per_second", "_ms", "bytes"))}
            for row in csv.DictReader(file)
        ]


def test_a_run_goes_back_leaves_data_out_and_names_the_documents(place):
    said = (place / "said").read_text()
    assert "going back to step 10 (1 of 3), leaving out 28 sequences; the documents of the bad steps: train#" in said
    (record,) = json.loads((place / "outputs" / "back" / "rollbacks.json").read_text())
    assert record["at_step"] == 17 and record["to_step"] == 10 and record["skipped_positions"] == [[40, 68]]
    assert any("'Line " in name for name in record["documents"])
    found = rows(place / "outputs" / "back")
    assert [int(row["step"]) for row in found] == list(range(1, 25))  # what was gone back over is gone
    assert found[-1]["train/skipped_steps"] == "4.0" and found[-1]["train/rollbacks"] == "1.0"
    assert float(found[-1]["train/loss"]) < float(found[0]["train/loss"])


def test_a_term_that_is_spoiled_on_another_rank_is_named_and_no_document_is(tmp_path):
    folder = write_text(tmp_path)
    spoiled = ["callbacks.poison.last=8", "callbacks.poison.term=z_loss", "callbacks.poison.rank=1"]
    code, said = train(*DDP, "regularizers=[z_loss]", "max_steps=3", *spoiled, folder=folder)
    assert code == 0, said
    skipped = [line for line in said.splitlines() if " skipped: " in line]
    assert len(skipped) == 2 and "step 1 skipped: the loss, of its terms z_loss alone, is not finite" in skipped[0]
    assert all(line.endswith("; see its settings") for line in skipped)


def test_killed_after_going_back_and_continued_is_bit_for_bit_the_same(place):
    words = [*BACK, "run_dir=outputs/killed", "resume=auto", "callbacks.poison.kill_at_step=19"]
    assert train(*words, folder=place)[0] == -signal.SIGKILL
    code, said = train(*words, folder=place)
    assert code == 0, said
    a, b = weights(place / "outputs" / "back"), weights(place / "outputs" / "killed")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert rows(place / "outputs" / "back") == rows(place / "outputs" / "killed")


def test_a_spike_that_no_other_data_cure_ends_with_a_diagnosis(place):
    guards = [
        "trainer.guards.max_rollbacks=1",
        "trainer.guards.spike_window_steps=8",
        "trainer.guards.spike_steps=2",
    ]
    bad = ["callbacks.poison.first=48", "callbacks.poison.last=999", "callbacks.poison.factor=9"]
    code, said = train(
        "max_steps=30", "run_dir=outputs/spike", "callbacks.checkpoints.every_steps=5", *guards, *bad, folder=place
    )
    assert code == 3 and "Traceback" not in said
    last = said.strip().splitlines()[-1]
    assert last.startswith("error: training diverged: the loss is ") and "diagnosis.json" in last
    diagnosis = json.loads((place / "outputs" / "spike" / "diagnosis.json").read_text())
    assert diagnosis["step"] == 12 and diagnosis["documents"] and diagnosis["advice"]
    assert [step["step"] for step in diagnosis["last_steps"]] == list(range(1, 13))
    assert diagnosis["rollbacks"][0]["to_step"] == 10 and diagnosis["rollbacks"][0]["skipped_positions"] == [[40, 56]]


def test_a_signal_before_training_leaves_nothing_and_says_one_line(place):
    code, said = train("run_dir=outputs/early", "callbacks.poison.signal_in=setup", folder=place)
    assert code == 128 + signal.SIGTERM
    assert said.strip().splitlines()[-1] == "interrupted by SIGTERM" and "Traceback" not in said
    assert not (place / "outputs" / "early").exists()


def test_a_signal_in_the_final_test_leaves_it_to_the_run_that_goes_on(place):
    words = ["max_steps=2", "run_dir=outputs/test", "resume=auto"]
    code, said = train(*words, "callbacks.poison.signal_in=test", "callbacks.poison.signal_number=10", folder=place)
    assert code == 128 + signal.SIGUSR1 and "Traceback" not in said
    folder = place / "outputs" / "test"
    before = rows(folder)
    assert not (folder / "result.json").exists()
    code, said = train(*words, folder=place)
    assert code == 0, said
    assert "test/loss" in json.loads((folder / "result.json").read_text())
    assert [row["train/loss"] for row in rows(folder)] == [row["train/loss"] for row in before]


def test_a_second_interrupt_stops_at_once_even_where_python_waits(place):
    words = ["run_dir=outputs/twice", "callbacks.poison.sleep_at_step=2"]
    process = start(*words, folder=place)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("budget"):
            break
    metrics = place / "outputs" / "twice" / "metrics.csv"
    while not (metrics.exists() and len(metrics.read_text().splitlines()) > 1):
        time.sleep(0.1)
    code, said = train("run_dir=outputs/twice", "resume=auto", folder=place)
    assert code == 2 and f"in use by process {process.pid} on" in said  # the lock
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 128 + signal.SIGINT  # the sleeper would sleep for an hour
    assert process.stderr.read().strip().splitlines()[-1] == "stopped at once by a second SIGINT"


def test_both_ranks_skip_together_and_stop_at_the_step_of_a_signal_to_one(place):
    bad = ["callbacks.poison.first=4", "callbacks.poison.last=8", "callbacks.poison.rank=1"]
    words = ["run_dir=outputs/ddp", "callbacks.poison.signal_in=step", "resume=auto", "max_steps=6"]
    code, said = train(*DDP, *bad, *words, folder=place)
    assert code == 128 + signal.SIGTERM, said
    assert "Traceback" not in said and said.count("interrupted by SIGTERM at step 3: saving, then leaving") == 1
    found = rows(place / "outputs" / "ddp")
    assert [row["train/skipped_steps"] for row in found] == ["0.0", "1.0", "1.0"]
    assert [path.name for path in (place / "outputs" / "ddp" / "checkpoints").glob("step_*")] == ["step_00000003"]


def test_the_watchdog_writes_the_stacks_of_all_ranks_and_ends_them(place):
    words = ["run_dir=outputs/hang", "callbacks.poison.sleep_at_step=2", "callbacks.poison.rank=1"]
    code, said = train(*DDP, *words, "trainer.watchdog_minutes=0.1", folder=place)
    assert code == 4, said
    assert "nothing moves" in said or "nothing has moved" in said
    stacks = [(place / "outputs" / "hang" / f"stacks_rank{rank}.txt").read_text() for rank in range(2)]
    assert "poison.py" in stacks[1] and "Thread" in stacks[0]
