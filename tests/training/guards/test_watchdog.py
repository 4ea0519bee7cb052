"""A run that stands still says where, and ends; one that moves is left alone."""

import threading
import time

import pytest
from lightning.pytorch.callbacks import Callback

from prospero.runs.folder import RunFolder
from prospero.training.guards.watchdog import Watchdog
from tests.training.tiny import TinyData, tiny_module, tiny_trainer


class Hangs(Callback):
    """Waits before the third step for as long as it is told."""

    def __init__(self, seconds):
        self.seconds = seconds

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if batch_idx == 2:
            time.sleep(self.seconds)


def fit(tmp_path, hangs, watchdog):
    trainer = tiny_trainer(tmp_path, max_steps=4, val_every_steps=0, callbacks=[Hangs(hangs), watchdog])
    trainer.fit(tiny_module(), datamodule=TinyData())


@pytest.mark.heavy
def test_stacks_are_written_and_the_process_leaves_with_4(tmp_path, capfd):
    codes = []
    fit(tmp_path, 1.5, Watchdog(tmp_path, 0.5 / 60, leave=codes.append))
    assert codes == [4]
    stacks = (tmp_path / "stacks_rank0.txt").read_text()
    assert "after step 2" in stacks and "in on_train_batch_start" in stacks and "test_watchdog.py" in stacks
    assert "nothing has moved" in (tmp_path / "log.txt").read_text()
    assert "nothing has moved" in capfd.readouterr().err


@pytest.mark.heavy
def test_one_process_tells_the_others(tmp_path):
    codes = []
    watchdog = Watchdog(tmp_path, 30, leave=codes.append)
    watchdog.poll_seconds = 0.05
    threading.Timer(0.4, lambda: (RunFolder(tmp_path).hang).write_text("rank 1")).start()
    fit(tmp_path, 1.2, watchdog)
    assert codes == [4]
    assert "another process" in (tmp_path / "stacks_rank0.txt").read_text()


@pytest.mark.heavy
def test_a_run_that_moves_and_an_old_hang_are_left_alone(tmp_path):
    (RunFolder(tmp_path).hang).write_text("of another time")
    codes = []
    fit(tmp_path, 0.5, Watchdog(tmp_path, 5 / 60, leave=codes.append))
    assert codes == [] and not (tmp_path / "stacks_rank0.txt").exists()
