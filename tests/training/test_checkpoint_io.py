"""Saves in a thread, saves that are killed, and optimisers that come back by the names of their parameters."""

import os
import signal
import sys
import threading
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import Callback

from prospero import registry
from prospero.checkpoints import writing
from prospero.checkpoints.folders import remove_left_over
from prospero.checkpoints.manifest import read_manifest, verify_folder
from prospero.checkpoints.run_checkpoints import Checkpoint, RunCheckpoints
from prospero.errors import DataError
from prospero.optim.adam import AdamConfig
from prospero.optim.lion import LionConfig
from prospero.runs.metrics import metric_series
from prospero.training.callbacks.checkpoints import Checkpoints, CheckpointsConfig
from prospero.training.loggers.metrics_file import MetricsFile
from prospero.training.run_facts import RunFacts
from tests import programs
from tests.training.tiny import TinyData, tiny_module, tiny_trainer

ROOT = Path(__file__).resolve().parents[2]


def run(folder: Path, *, resume: Path | None = None, optimizer=None, steps: int = 8, callbacks=(), **settings):
    config = CheckpointsConfig(**{"every_steps": 2, "keep_last": 9, **settings})
    module = tiny_module()
    if optimizer is not None:
        module.how.optimizer = optimizer
    trainer = tiny_trainer(
        folder,
        max_steps=steps,
        val_every_steps=0,
        loggers=[MetricsFile(folder)],
        callbacks=[*callbacks, config.build(RunFacts(run_dir=folder))],
    )
    trainer.fit(module, datamodule=TinyData(), ckpt_path=resume)
    return module


def tensors_of(folder: Path) -> dict[str, str]:
    return {n: f["sha256"] for n, f in read_manifest(folder)["files"].items() if n.endswith(".safetensors")}


def test_saves_in_a_thread_equal_those_that_hold_training_up(tmp_path, monkeypatch):
    threads: list[str] = []
    write = writing.write_tensors

    def slowly(path, parts):
        threads.append(threading.current_thread().name)
        return write(path, list(parts)[::-1])

    monkeypatch.setattr(writing, "write_tensors", slowly)
    run(tmp_path / "at_once")
    assert set(threads) == {"MainThread"}
    run(tmp_path / "in_thread", asynchronous=True)
    assert threads.count("checkpoint") == 5  # steps 2, 4, 6, 8, and 8 again when it is validated
    for step in (2, 4, 6, 8):
        at_once, in_thread = (tmp_path / way / "checkpoints" / f"step_{step:08d}" for way in ("at_once", "in_thread"))
        verify_folder(in_thread)
        assert tensors_of(at_once) == tensors_of(in_thread)
    stalls = metric_series(tmp_path / "in_thread" / "metrics.csv")
    assert [step for step, _ in stalls["train/checkpoint_stall_seconds"]] == [3, 5, 7]
    held = all_tensors(Checkpoint.open(tmp_path / "at_once" / "checkpoints" / "step_00000008").read(lazy=False))
    n_bytes = sum(tensor.numel() * tensor.element_size() for tensor in held)
    assert {size for _, size in stalls["train/checkpoint_bytes"]} == {n_bytes}


@pytest.mark.parametrize("asynchronous", [False, True])
def test_checkpoints_may_keep_the_gradients_of_their_step(tmp_path, asynchronous):
    plain = run(tmp_path / "plain", every_steps=1, steps=4)
    kept = run(tmp_path / "kept", every_steps=1, steps=4, gradients=True, asynchronous=asynchronous)
    found = [[*reversed(RunCheckpoints(tmp_path / way / "checkpoints").all())] for way in ("plain", "kept")]
    buffer: dict = {}
    for without, checkpoint in zip(*found, strict=True):
        assert without.gradients() is None
        tree = checkpoint.verify().read(lazy=False)
        assert tree.keys() - without.read().keys() == {"gradients"}
        for name, state in tree["optimizer_states"][0]["state"].items():  # SGD's momentum: 0.9 of the last + gradient
            by_hand = tree["gradients"][name.removeprefix("model.")] + 0.9 * buffer.get(name, 0.0)
            torch.testing.assert_close(state["momentum_buffer"], by_hand)
            buffer[name] = state["momentum_buffer"]
    again = run(tmp_path / "again", steps=4, resume=found[1][1].path, every_steps=1, gradients=True)
    for others in (kept, again):
        assert all(torch.equal(a, b) for a, b in zip(plain.model.parameters(), others.model.parameters()))


def test_gradients_live_no_longer_than_their_step(tmp_path):
    held = []

    class Look(Callback):
        def on_before_backward(self, trainer, pl_module, loss):
            held.append(next(c for c in trainer.callbacks if isinstance(c, Checkpoints))._gradients)

    run(tmp_path, steps=3, gradients=True, callbacks=[Look()])
    assert held == [{}, {}, {}]


def last_of(run_dir):
    found = RunCheckpoints(run_dir / "checkpoints").last()
    assert found is not None
    return found.path


def all_tensors(value):
    if isinstance(value, dict | list | tuple):
        return [t for item in (value.values() if isinstance(value, dict) else value) for t in all_tensors(item)]
    return [value] if isinstance(value, torch.Tensor) else []


OPTIMIZERS = [registry.config_class("optimizer", name)() for name in registry.names("optimizer")]


@pytest.mark.heavy
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda config: type(config).__name__)
def test_every_optimizer_goes_on_bit_for_bit(tmp_path, optimizer):
    whole = run(tmp_path / "whole", optimizer=optimizer)
    again = run(tmp_path / "again", optimizer=optimizer, resume=tmp_path / "whole/checkpoints/step_00000004")
    assert all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), again.model.parameters()))
    last = [tmp_path / way / "checkpoints" / "step_00000008" for way in ("whole", "again")]
    assert tensors_of(last[0]) == tensors_of(last[1])


def test_another_optimizer_is_refused(tmp_path):
    run(tmp_path, optimizer=LionConfig())
    with pytest.raises(DataError, match="the checkpoint's optimiser is Lion, this run's is Adam; resume with the same"):
        run(tmp_path, optimizer=AdamConfig(), resume=tmp_path / "checkpoints" / "step_00000004", steps=10)


def test_an_error_elsewhere_waits_for_the_thread(tmp_path):
    class Breaks(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if batch_idx == 6:
                raise OSError("the data went away")

    with pytest.raises(OSError, match="went away"):
        run(tmp_path, callbacks=[Breaks()], asynchronous=True)
    assert not [t for t in threading.enumerate() if t.name == "checkpoint"]
    assert last_of(tmp_path).name == "step_00000006"


KILLED = """
import os, signal, sys
from pathlib import Path
from prospero.checkpoints import writing
from tests.training.test_checkpoint_io import run
original, calls = writing.{function}, []
def killed(*args, **kwargs):
    calls.append(1)
    if len(calls) > 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*args, **kwargs)
writing.{function} = killed
run(Path(sys.argv[1]), keep_last=1, asynchronous={asynchronous})
"""


@pytest.fixture(scope="module")
def unharmed(tmp_path_factory):
    return run(tmp_path_factory.mktemp("unharmed"))


@pytest.mark.processes
@pytest.mark.parametrize(
    ("place", "asynchronous"), [("write_tensors", True), ("write_manifest", False), ("publish", True)]
)
def test_killed_in_a_save_the_one_before_stays(tmp_path, unharmed, place, asynchronous):
    code = KILLED.format(function=place, asynchronous=asynchronous)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = programs.run([sys.executable, "-c", code, str(tmp_path)], env=environment, capture_output=True, timeout=99)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-2000:]
    good = last_of(tmp_path)
    assert good.name == "step_00000004"
    left = list((tmp_path / "checkpoints").glob(".step_*"))
    assert left, "it was killed in the middle"
    resumed = run(tmp_path, resume=good)
    assert not list((tmp_path / "checkpoints").glob(".step_*"))
    assert all(torch.equal(a, b) for a, b in zip(resumed.model.parameters(), unharmed.model.parameters()))


def test_a_kill_between_two_renames_loses_nothing(tmp_path):
    place = tmp_path / "checkpoints"
    run(tmp_path, keep_last=1)
    (place / "step_00000008").rename(place / ".step_00000008.replaced-1234")
    (place / ".step_00000009.tmp-5678").mkdir()
    (place / ".step_00000006.removed-5678").mkdir()
    remove_left_over(place)
    assert [path.name for path in place.iterdir() if "step_" in path.name] == ["step_00000008"]
