"""The same training whatever starts it: torchrun, several torchrun agents, SLURM's variables, or plain python."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs import Program

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]
TRAIN = str(ROOT / "train.py")
TORCHRUN = str(Path(sys.executable).with_name("torchrun"))
LAUNCHERS = ("PROSPERO_", "SLURM_", "TORCHELASTIC_", "MASTER_", "RANK", "LOCAL_", "WORLD_", "NODE_")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("launch")
    lines = [f"The {number}th line says that {number} plus {number} is {2 * number}.\n" for number in range(1500)]
    (folder / "text.txt").write_text("".join(lines))
    return folder


SETTINGS = [
    "data=files", "data.path=text.txt", "tokenizer=byte", "model=tiny", "seq_len=32", "max_steps=2",
    "global_batch_size=4", "trainer.log_every_steps=1", "trainer.val_sequences=8", "callbacks=[checkpoints]",
    "trainer.accelerator=cpu", "trainer.precision=float32", "trainer.test_sequences=8",
]  # fmt: skip


def start(*words, folder, **variables):
    kept = {key: value for key, value in os.environ.items() if not key.startswith(LAUNCHERS)}
    environment = {**kept, "OMP_NUM_THREADS": "1", **variables}
    return Program(words, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end(*processes):
    """Return (exit code, standard error) of each."""
    return [(process.wait(), said[1]) for process in processes for said in [process.communicate(timeout=200)]]


def losses(run):
    with open(run / "metrics.csv", newline="") as file:
        return [float(row["train/loss"]) for row in csv.DictReader(file)]


def slurm(rank, job):
    return {
        "SLURM_JOB_ID": job, "SLURM_JOB_NAME": "test", "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "1",
        "SLURM_NNODES": "2", "SLURM_NODELIST": "127.0.0.1", "SLURM_STEP_ID": "0", "SLURM_NODEID": str(rank),
        "SLURM_PROCID": str(rank), "SLURM_LOCALID": "0",
    }  # fmt: skip


def test_every_launch_makes_one_run_folder_and_the_same_losses(place):
    """One machine, two agents of one process each, and two tasks of SLURM."""
    words = [*SETTINGS, "trainer=ddp"]
    together = [TORCHRUN, "--standalone", "--nproc-per-node", "2", TRAIN, *words, "name=torchrun"]
    ((code, said),) = end(start(*together, folder=place))
    assert code == 0, said
    agents = [
        TORCHRUN, "--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d", "--rdzv-id", "test",
        "--rdzv-endpoint", "127.0.0.1:29683", TRAIN, *words, "name=agents",
    ]  # fmt: skip
    for code, said in end(*(start(*agents, folder=place) for _ in range(2))):
        assert code == 0, said
    tasks = [sys.executable, TRAIN, *words, "name=slurm"]
    for code, said in end(*(start(*tasks, folder=place, **slurm(rank, "990004712")) for rank in range(2))):
        assert code == 0, said
    runs = {folder.name.rpartition("_")[2]: folder for folder in (place / "outputs" / "train").iterdir()}
    assert sorted(runs) == ["agents", "slurm", "torchrun"]
    assert losses(runs["torchrun"]) == losses(runs["agents"]) == losses(runs["slurm"])
    assert len(losses(runs["slurm"])) == 2
    assert all((run / "log.txt").read_text().count("run folder:") == 1 for run in runs.values())


def test_ranks_with_different_settings_stop_with_one_line(place):
    words = [sys.executable, TRAIN, *SETTINGS, "trainer=ddp", "name=differs", "seed=${oc.env:SLURM_PROCID}"]
    ended = end(*(start(*words, folder=place, **slurm(rank, "990004713")) for rank in range(2)))
    assert [code for code, _ in ended] == [2, 2]
    lines = [line for _, said in ended for line in said.splitlines() if line.strip()]
    assert lines == [
        "error: the ranks differ in their settings: seed is 0 on rank 0 and 1 on rank 1; "
        "start all processes with the same command and environment"
    ]
    assert not list(place.glob("outputs/train/*differs*"))


def test_a_mistake_found_late_by_all_is_one_line(place):
    """Python starts the second process itself."""
    words = [sys.executable, TRAIN, *SETTINGS, "trainer=ddp", "trainer.devices=2", "name=alone", "seq_len=999999"]
    ((code, said),) = end(start(*words, folder=place))
    assert code == 2
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "seq_len=999999" in errors[0], said
    assert not list(place.glob("outputs/train/*alone*"))


def test_a_process_that_dies_at_the_start_ends_the_run(place):
    """The second process is killed before it has joined: the first does not wait for ever."""
    (place / "dies.py").write_text("import os\nif os.environ.get('LOCAL_RANK') == '1': os._exit(7)\n")
    words = [sys.executable, TRAIN, *SETTINGS, "trainer=ddp", "trainer.devices=2", "name=dies", "plugins=[dies]"]
    ((code, said),) = end(start(*words, folder=place))
    assert code == 7
    assert "error: rank 1 ended with exit code 7" in said
