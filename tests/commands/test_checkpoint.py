"""`prospero checkpoint`: what it says, what it writes, and its exit codes."""

import pytest
import torch
from tests.checkpoints import stored

from prospero.checkpoints.model_folder import load_model
from prospero.cli import main
from prospero.commands.checkpoint import checkpoint
from prospero.errors import ConfigError, DataError


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    stored.save_tokenizer(folder)
    stored.write(folder, 4)
    stored.write(folder, 5, {"val/loss": 2.125})
    return folder


def test_verify_names_the_bad_file_and_leaves_with_2(run, capsys):
    for path in (run, run / "checkpoints", run / "checkpoints" / "step_00000005"):
        assert checkpoint(["verify", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"ok   {run}/checkpoints/step_00000004: 2 files, ")
    assert lines[0].endswith(" kB, step 4, 32 tokens")
    assert lines[1].endswith(", step 5, 40 tokens, val/loss 2.1250")
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
    assert all(torch.equal(tensor, stored.weights(5)[name]) for name, tensor in model.state_dict().items())
    assert tokenizer is not None and config["facts"]["checkpoint"] == "step_00000005"
    assert checkpoint(["verify", str(tmp_path / "out")]) == 0
    assert checkpoint(["merge", str(run / "checkpoints" / "step_00000004")]) == 0
    assert load_model(run / "model_step_00000004")[2]["facts"]["step"] == 4
    with pytest.raises(ConfigError, match="exists and is no model folder"):
        checkpoint(["merge", str(run), str(run / "checkpoints")])


def test_merge_takes_the_weights_that_were_validated_and_says_so(tmp_path, capsys):
    average = stored.parameters(99)
    folder = stored.write(tmp_path / "run", 1, evaluation_weights=average)
    for words, expected, said in (
        ([], average, "the weights that were validated, an average of those of training"),
        (["raw"], stored.weights(1), "the weights of the last step, not the average that was validated"),
    ):
        assert checkpoint(["merge", str(tmp_path / "run"), str(tmp_path / "out"), *words]) == 0
        line = capsys.readouterr().out.strip()
        assert line == f"{folder} -> {tmp_path / 'out'}; {said}; without a tokenizer: none was found beside it"
        model, _, config = load_model(tmp_path / "out")
        assert all(torch.equal(parameter, expected[name]) for name, parameter in model.named_parameters())
        assert config["facts"]["weights"] == said
    assert checkpoint(["merge", str(tmp_path / "run"), "raw"]) == 0
    assert f"-> {tmp_path / 'run' / 'model_step_00000001'}; the weights of the last step" in capsys.readouterr().out


def test_verify_looks_at_the_model_too(run, tmp_path, capsys):
    checkpoint(["merge", str(run), str(run / "model")])
    capsys.readouterr()
    assert checkpoint(["verify", str(run)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith(f"ok   {run}/model: 4 files, ") and ", step" not in lines[2]
    (run / "model" / "config.json").unlink()
    assert checkpoint(["verify", str(run / "model")]) == 2


def test_a_metric_that_the_run_ranks_by_is_shown(tmp_path, capsys):
    facts = {"monitor": "val/accuracy", "higher_is_better": True, "metrics": {"val/loss": 1.0, "val/accuracy": 0.5}}
    stored.write(tmp_path, 1, facts)
    assert checkpoint(["verify", str(tmp_path)]) == 0
    assert capsys.readouterr().out.endswith(", val/accuracy 0.5000\n")


def test_a_run_of_damaged_checkpoints_is_refused(run):
    for folder in (run / "checkpoints").glob("step_*"):
        (folder / "state.json").unlink()
    with pytest.raises(DataError, match="run holds no good checkpoint; give a run folder or"):
        checkpoint(["show", str(run)])


def test_show_says_what_is_inside(run, capsys):
    assert checkpoint(["show", str(run)]) == 0
    out = capsys.readouterr().out
    assert f"{run}/checkpoints/step_00000005, step 5, 40 tokens, val/loss 2.1250" in out
    assert "written by 1 process(es), OneDeviceStrategy" in out
    assert "  seed = 3" in out
    assert "     8.2 kB  float32   [257, 8]          state_dict/model.embedding.weight" in out
    assert "tensors_00000_of_00001.safetensors" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], r"Write prospero checkpoint verify \| merge \| show <path>"),
        (["verfy", "x"], "There is no 'checkpoint verfy'. Did you mean 'verify'?"),
        (["verify"], "checkpoint verify takes one path; found nothing"),
        (["show", "a", "b"], "checkpoint show takes one path; found a b"),
        (["merge", "--all"], "checkpoint merge has no option '--all'"),
        (["merge"], "checkpoint merge takes a path, perhaps the folder to write, perhaps 'raw'; found nothing"),
        (["merge", "a", "b", "c"], "checkpoint merge takes a path, .*; found a b c"),
        (["show", "a", "raw"], "checkpoint show takes one path; found a raw"),
        (["show", "{place}/runn"], "runn does not exist; give a run, .* Did you mean 'run'?"),
        (["verify", "{place}"], "holds neither checkpoints nor a model"),
    ],
)
def test_mistakes_are_one_line(words, message, tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises((ConfigError, DataError), match=message):
        checkpoint([word.format(place=tmp_path) for word in words])


def test_a_path_that_is_not_utf8_is_no_damage(run, tmp_path):
    place = str(tmp_path / "caf\udce9")
    run.rename(place)
    assert checkpoint(["verify", place]) == 0
    for words in (["show", place], ["merge", place], ["merge", str(tmp_path), place]):
        with pytest.raises(ConfigError, match="a word holds the byte 0xE9, which is not UTF-8"):
            checkpoint(words)
    assert [path.name for path in tmp_path.iterdir()] == ["caf\udce9"]
