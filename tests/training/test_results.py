"""What a run says and leaves at its end, also where it has saved no checkpoint."""

import json

import pytest

from prospero import compose
from prospero.commands.train import train
from prospero.runs.folder import RunFolder

WORDS = [
    "data=files", "data.path=text.txt", "tokenizer=byte", "model=tiny", "model.d_model=16", "model.n_heads=2",
    "model.n_layers=1", "seq_len=32", "global_batch_size=4", "trainer.accelerator=cpu", "trainer.precision=float32",
    "trainer.val_sequences=4", "trainer.test_sequences=4", "max_steps=3", "run_dir=a",
]  # fmt: skip


@pytest.mark.heavy
@pytest.mark.parametrize("callbacks", ["", "progress"])
def test_a_run_without_checkpoints_has_its_results_too(callbacks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("".join(f"The {n}th line, and {n} more.\n" for n in range(900)))
    assert train(compose("train", [*WORDS, f"callbacks=[{callbacks}]"])) == 0
    folder = RunFolder(tmp_path / "a")
    result = json.loads(folder.result.read_text())
    assert result["status"] == "DONE" and result["stop_reason"] == "max_steps" and result["steps"] == 3
    assert result["objective"] == result["val/loss"] and not any(name.startswith("test/") for name in result)
    said = folder.log.read_text()
    assert "ended: max_steps, after" in said and "val   loss " in said
    assert "no checkpoint was saved, so there is no test and no model/" in said
    assert folder.report.is_file() and folder.receipt.is_file() and not folder.model.exists()
