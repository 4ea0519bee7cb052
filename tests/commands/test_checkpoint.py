"""`prospero checkpoint`: what it says, what it writes, and its exit codes."""

import pytest
import torch
from tests.training.tiny import SEQ_LEN, VOCAB, TinyConfig, TinyData, tiny_module, tiny_trainer

from prospero.checkpoints.model_folder import describe_model, load_model
from prospero.checkpoints.run_checkpoints import read_checkpoint
from prospero.cli import main
from prospero.commands.checkpoint import checkpoint
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.errors import ConfigError, DataError
from prospero.registry import PARTS
from prospero.training.callbacks.checkpoints import CheckpointsConfig
from prospero.training.run_facts import RunFacts


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setitem(PARTS["model"], "tiny_test", "tests.training.tiny:TinyConfig")
    folder = tmp_path / "run"
    tokenizer = ByteTokenizerConfig().build(lambda: iter(()))
    description = describe_model(TinyConfig(), vocab_size=VOCAB, max_seq_len=SEQ_LEN)
    callback = CheckpointsConfig(every_steps=2, keep_last=2).build(RunFacts(run_dir=folder, tokenizer=tokenizer))
    trainer = tiny_trainer(folder, max_steps=5, callbacks=[callback])
    trainer.fit(tiny_module(facts={"model": description, "config": {"seed": 3}}), datamodule=TinyData())
    return folder


def test_verify_names_the_bad_file_and_leaves_with_2(run, capsys):
    for path in (run, run / "checkpoints", run / "checkpoints" / "step_00000005"):
        assert checkpoint(["verify", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"ok   {run}/checkpoints/step_00000004: 2 files, ")
    assert lines[0].endswith(" kB, step 4, 96 tokens")
    assert ", step 5, 120 tokens, val/loss 2." in lines[1]
    bad = run / "checkpoints" / "step_00000004" / "state.json"
    bad.write_bytes(bad.read_bytes()[:-1])
    with pytest.raises(SystemExit) as left:
        main("checkpoint", ["verify", str(run)])
    assert left.value.code == 2
    assert [line[:4] for line in capsys.readouterr().out.splitlines()] == ["BAD ", "ok  "]


def test_merge_gives_a_model_folder_that_loads(run, tmp_path, capsys):
    assert checkpoint(["merge", str(run), str(tmp_path / "out")]) == 0
    assert checkpoint(["merge", str(run), str(tmp_path / "out")]) == 0  # a model folder may be written again
    model, tokenizer, config = load_model(tmp_path / "out")
    saved = read_checkpoint(run / "checkpoints" / "step_00000005")
    assert torch.equal(model.head.weight, saved["state_dict"]["model.head.weight"])
    assert tokenizer is not None and config["facts"]["checkpoint"] == "step_00000005"
    assert checkpoint(["verify", str(tmp_path / "out")]) == 0
    assert checkpoint(["merge", str(run / "checkpoints" / "step_00000004")]) == 0
    assert load_model(run / "model_step_00000004")[2]["facts"]["step"] == 4
    with pytest.raises(ConfigError, match="exists and is no model folder"):
        checkpoint(["merge", str(run), str(run / "checkpoints")])


def test_show_says_what_is_inside(run, capsys):
    assert checkpoint(["show", str(run)]) == 0
    out = capsys.readouterr().out
    assert f"{run}/checkpoints/step_00000005, step 5, 120 tokens, val/loss" in out
    assert "written by 1 process(es), OneDeviceStrategy" in out
    assert "  seed = 3" in out
    assert "float32   [11, 8]           optimizer_states/0/state/model.head.weight/momentum_buffer" in out
    assert "tensors_00000_of_00001.safetensors" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], r"Write prospero checkpoint verify \| merge \| show <path>"),
        (["verfy", "x"], "There is no 'checkpoint verfy'. Did you mean 'verify'?"),
        (["verify"], "checkpoint verify takes one path; found nothing"),
        (["show", "a", "b"], "checkpoint show takes one path; found a b"),
        (["merge", "--all"], "checkpoint merge has no option '--all'"),
        (["show", "{place}/runn"], "runn does not exist; give a run, .* Did you mean 'run'?"),
        (["verify", "{place}"], "holds neither checkpoints nor a model"),
    ],
)
def test_mistakes_are_one_line(words, message, tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises((ConfigError, DataError), match=message):
        checkpoint([word.format(place=tmp_path) for word in words])
