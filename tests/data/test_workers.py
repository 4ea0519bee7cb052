"""Processes that read ahead: the same batches, and no say in signals and locks."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from prospero.data.augmentation.token_noise import TokenNoiseConfig
from prospero.data.packing.best_fit import BestFitPackingConfig
from prospero.data.packing.concat import ConcatPackingConfig
from prospero.data.prepare import prepare
from prospero.processes.run_lock import RunLock
from tests.data.shard_making import sentences, settings, write_corpus
from tests.data.test_datamodule import GLOBAL, module, take
from tests.programs import Program

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    return prepare(settings(write_corpus(folder, sentences(60)), folder), progress=False)


def everything(batches):
    return [
        (batch.inputs["input_ids"].tolist(), batch.inputs["document_ids"].tolist(), batch.labels.tolist())
        + (batch.sequences, batch.tokens, batch.target_tokens)
        for batch in batches
    ]


@pytest.mark.parametrize("packing", [ConcatPackingConfig(), BestFitPackingConfig()], ids=["concat", "best_fit"])
def test_batches_are_the_same_for_any_number_of_workers_across_an_epoch_and_from_any_cursor(prepared, packing):
    torch.ones(512, 512) @ torch.ones(512, 512)  # threads of torch live when workers are forked
    found = {}
    for workers in (0, 1, 2):
        data = module(
            prepared,
            num_workers=workers,
            packing=packing,
            micro_batch_size=2,
            augmentation=TokenNoiseConfig(probability=0.3),
            document_ids=True,
        )
        epoch = -(-data.sequences_per_epoch // 2)
        data.skip([[12, 20]])
        data.load_state_dict({"consumed_sequences": 3 * GLOBAL, "skipped": []})
        loaders = (data.val_dataloader(), data.test_dataloader())
        found[workers] = [
            everything(take(data.train_dataloader(), epoch + 8)),
            *(everything(loader) for loader in loaders * 2),  # again from the same workers
        ]
    assert found[0] == found[1] == found[2]
    assert found[0][1] == found[0][3] and len(found[0][1]) > 2
    whole = module(
        prepared,
        num_workers=2,
        packing=packing,
        micro_batch_size=2,
        augmentation=TokenNoiseConfig(probability=0.3),
        document_ids=True,
    )
    whole.skip([[12, 20]])
    assert everything(take(whole.train_dataloader(), 24))[12:] == found[0][0][:12]


READS = """
import os, signal, sys, time
from pathlib import Path
from prospero.data.prepare import open_prepared
from prospero.processes import signals
from prospero.processes.run_lock import RunLock
from tests.data.test_datamodule import module, take

with RunLock(Path(sys.argv[2])).take(), signals.watched() as watch:
    watch.defer()
    data = module(open_prepared(Path(sys.argv[1])), num_workers=2)
    batches = iter(data.train_dataloader())
    next(batches), next(batches)  # both workers are at work
    print(*[worker.pid for worker in batches._workers], flush=True)
    while not watch.received:
        time.sleep(0.01)
    time.sleep(0.3)
    for _ in range(30):
        next(batches)
    print("saved after", signal.Signals(watch.received).name, watch._interrupts, flush=True)
    if sys.argv[3] == "leave":
        sys.exit(0)
    time.sleep(60)
"""


def reader(prepared, folder, end):
    process = Program(
        [sys.executable, "-c", READS, str(prepared.directory), str(folder), end],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    return process, [int(word) for word in process.stdout.readline().split()]


@pytest.mark.parametrize(("number", "interrupts"), [(signal.SIGTERM, 0), (signal.SIGINT, 1)])
def test_a_signal_to_the_whole_job_leaves_the_workers_to_read_on(prepared, tmp_path, number, interrupts):
    process, workers = reader(prepared, tmp_path, "leave")
    os.killpg(process.pid, number)
    said, errors = process.communicate(timeout=180)
    assert said == f"saved after {number.name} {interrupts}\n"
    assert (process.returncode, errors) == (0, "")
    assert len(workers) == 2 and not any(psutil.pid_exists(pid) for pid in workers)


def test_the_lock_of_a_killed_process_is_free_at_once_and_its_workers_end(prepared, tmp_path):
    process, workers = reader(prepared, tmp_path, "stay")
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)  # or they would see within seconds that they are alone
    process.kill()
    process.wait()
    assert all(psutil.pid_exists(pid) for pid in workers)
    RunLock(tmp_path).take().release()
    for pid in workers:
        os.kill(pid, signal.SIGCONT)
    process.communicate(timeout=180)  # until nobody holds its output any more
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in workers)
