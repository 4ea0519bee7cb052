"""The checkpoints of a run: found, ranked, verified once, opened; what is damaged is named once and stays."""

import logging
from collections import Counter

import pytest
import torch

from prospero.checkpoints import manifest
from prospero.checkpoints.model_folder import load_model
from prospero.checkpoints.run_checkpoints import Checkpoint, RunCheckpoints, is_checkpoint
from prospero.errors import DataError
from tests.checkpoints.stored import AVERAGED, flip, parameters, weights, write, write_folder


@pytest.fixture(autouse=True)
def heard(monkeypatch):
    monkeypatch.setattr(logging.getLogger("prospero"), "propagate", True)


@pytest.fixture
def hashed(monkeypatch):
    """How often each file was read and hashed."""
    counted: Counter[str] = Counter()
    describe_file = manifest.describe_file

    def count(path):
        counted[f"{path.parent.name}/{path.name}"] += 1
        return describe_file(path)

    monkeypatch.setattr(manifest, "describe_file", count)
    return counted


def names(checkpoints):
    return [checkpoint.path.name for checkpoint in checkpoints]


def test_all_are_there_newest_first(tmp_path):
    for step in (2, 10, 9):
        write(tmp_path, step)
    (tmp_path / "checkpoints" / ".step_00000011.tmp-1").mkdir()
    (tmp_path / "checkpoints" / "step_other").mkdir()
    found = RunCheckpoints(tmp_path / "checkpoints").all()
    assert [checkpoint.step for checkpoint in found] == [10, 9, 2]
    assert [checkpoint.tokens for checkpoint in found] == [80, 72, 16]
    assert RunCheckpoints(tmp_path / "nothing").all() == []
    assert RunCheckpoints(tmp_path / "nothing").last() is None
    assert RunCheckpoints(tmp_path / "nothing").best() is None


def test_the_best_by_the_metrics_of_today_and_by_those_of_before(tmp_path):
    write(tmp_path, 1, {"val/loss": 1.5})
    write(tmp_path, 2, {"metrics": {"val/loss": 1.25, "val/accuracy": 0.25}})
    write(tmp_path, 3, {"metrics": {"val/loss": 2.0, "val/accuracy": 0.75}})
    write(tmp_path, 4, {"metrics": {"val/loss": float("nan")}})
    write(tmp_path, 5, {"val/loss": None})
    checkpoints = RunCheckpoints(tmp_path / "checkpoints")
    assert [found.value("val/loss") for found in checkpoints.all()[2:]] == [2.0, 1.25, 1.5]
    assert checkpoints.best().step == 2
    assert checkpoints.best("val/loss").step == 2
    assert checkpoints.best("val/loss", higher_is_better=True).step == 3
    assert checkpoints.best("val/accuracy", higher_is_better=True).step == 3
    assert checkpoints.best("val/accuracy").step == 2
    assert checkpoints.last().step == 5


def test_a_run_says_itself_what_it_ranks_by(tmp_path):
    for step, accuracy in ((1, 0.5), (2, 0.75), (3, 0.25)):
        facts = {"metrics": {"val/loss": 1.0 * step, "val/accuracy": accuracy}}
        write(tmp_path, step, {**facts, "monitor": "val/accuracy", "higher_is_better": True})
    best = RunCheckpoints(tmp_path / "checkpoints").best()
    assert best.step == 2 and best.value() == 0.75


def test_the_best_of_none_that_was_validated_is_the_last(tmp_path):
    for step in (1, 2):
        write(tmp_path, step, {"val/loss": None})
    assert RunCheckpoints(tmp_path / "checkpoints").best().step == 2


def test_of_equals_the_newest_is_best(tmp_path):
    for step in (1, 2, 3):
        write(tmp_path, step, {"val/loss": 1.0})
    assert RunCheckpoints(tmp_path / "checkpoints").best().step == 3


def test_the_damaged_are_named_once_and_left_alone(tmp_path, caplog):
    for step in (1, 2, 3):
        write(tmp_path, step, {"val/loss": 4.0 - step})
    place = tmp_path / "checkpoints"
    (place / "step_00000003" / "manifest.json").write_text("{}")
    flip(place / "step_00000002" / "tensors_00000_of_00001.safetensors", 999)
    (place / "step_00000004").mkdir()
    before = sorted(place.rglob("*"))
    checkpoints = RunCheckpoints(place)
    with caplog.at_level(logging.WARNING, logger="prospero"):
        assert checkpoints.last().step == checkpoints.best().step == 1
        assert names(checkpoints.all()) == ["step_00000002", "step_00000001"]
    said = sorted(caplog.messages)
    assert len(said) == 3
    assert said[0].startswith("passing over the checkpoint step_00000002: ") and said[0].endswith("in manifest.json")
    assert said[1].endswith("step_00000003/manifest.json is damaged: its hash does not fit what it says")
    assert "step_00000004 cannot be trusted: it was never finished" in said[2]
    assert sorted(place.rglob("*")) == before


def test_one_that_is_written_anew_is_opened_anew(tmp_path):
    write(tmp_path, 1, {"val/loss": 2.0})
    checkpoints = RunCheckpoints(tmp_path / "checkpoints")
    first = checkpoints.last()
    assert checkpoints.last() is first and checkpoints.all()[0] is first
    write(tmp_path, 1, {"val/loss": 1.0})
    assert checkpoints.last() is not first
    assert checkpoints.last().value("val/loss") == 1.0


def test_the_best_is_hashed_once_whoever_reads_it(tmp_path, hashed):
    """What the end of a run does: the best and the last are found, the best is tested, loaded and kept."""
    write(tmp_path, 1, {"val/loss": 1.0})
    write(tmp_path, 2, {"val/loss": 2.0})
    checkpoints = RunCheckpoints(tmp_path / "checkpoints")
    best, last = checkpoints.best(), checkpoints.last()
    assert best is not last and best.verified
    assert best.memory["step"] == 1
    load_model(best)
    assert best.evaluation_weights() is None
    assert best.read(lazy=False)["state_dict"].keys() == best.read()["state_dict"].keys()
    best.verify()
    assert set(hashed.values()) == {1} and len(hashed) == 4


def test_parts_are_verified_by_whom_they_belong_to_and_once(tmp_path, hashed):
    found = Checkpoint.open(write(tmp_path, 1))
    found.verify(1, 2)
    assert hashed == {"step_00000001/tensors_00000_of_00001.safetensors": 1} and not found.verified
    found.verify(0, 2)
    assert found.verified
    found.verify()
    assert set(hashed.values()) == {1}


def test_the_word_of_other_processes_is_taken(tmp_path, hashed):
    found = Checkpoint.open(write(tmp_path, 1)).trust()
    assert found.verified and found.memory["step"] == 1
    assert not hashed


def test_damage_is_found_once_and_said_each_time(tmp_path, hashed):
    folder = write(tmp_path, 1)
    flip(folder / "state.json", 100)
    found = Checkpoint.open(folder)
    for _ in range(2):
        with pytest.raises(DataError, match=r"state.json is damaged: its SHA-256 is not the one in manifest.json"):
            found.verify()
    with pytest.raises(DataError, match=r"state.json is damaged"):
        found.read()
    assert not found.verified
    assert hashed["step_00000001/state.json"] == 1


def test_contents_come_whole_or_not_yet_read(tmp_path):
    found = Checkpoint.open(write(tmp_path, 1, more=[torch.arange(3), (torch.ones(2), {"a": torch.zeros(1)})]))
    whole, lazy = found.read(lazy=False), found.read()
    some = found.read(lazy=lambda name: name.startswith("state_dict"))
    assert torch.equal(whole["more"][0], torch.arange(3)) and isinstance(whole["more"][1], tuple)
    assert torch.equal(some["more"][1][1]["a"], torch.zeros(1))
    for name, tensor in weights(1).items():
        assert torch.equal(whole["state_dict"][f"model.{name}"], tensor)
        assert torch.equal(some["state_dict"][f"model.{name}"].whole(), tensor)
        assert torch.equal(found.model_state()[name].whole(), tensor)
    assert repr(lazy["more"][0]) == "StoredTensor(more/0, [3], torch.int64)"
    assert found.read() is not found.read()


def test_what_is_no_checkpoint_is_said_so(tmp_path):
    with pytest.raises(DataError, match=r"there is no checkpoint folder .*nowhere"):
        Checkpoint.open(tmp_path / "nowhere")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    manifest.sign_folder(tmp_path / "model", ["config.json"])
    with pytest.raises(DataError, match="model is no checkpoint of Prospero"):
        Checkpoint.open(tmp_path / "model")
    write_folder(tmp_path / "step_00000001", {"state_dict": {}})
    with pytest.raises(DataError, match="step_00000001 is no checkpoint of Prospero"):
        Checkpoint.open(tmp_path / "step_00000001").read()
    assert is_checkpoint(tmp_path / "step_00000001") and not is_checkpoint(tmp_path / "model")


def test_the_weights_that_were_validated(tmp_path):
    average = parameters(99)
    ema = {"weights": average, "updates": 3}
    written = {
        "none": write(tmp_path / "none", 1),
        "new": write(tmp_path / "new", 1, evaluation_weights=average),
        "old": write(tmp_path / "old", 1, ema=ema, config=AVERAGED),
        "unused": write(tmp_path / "unused", 1, ema=ema, config={"callbacks": {"ema": {"evaluate": False}}}),
    }
    found = {name: Checkpoint.open(folder).evaluation_weights() for name, folder in written.items()}
    assert found["none"] is None and found["unused"] is None
    for which in ("new", "old"):
        assert {name: stored.whole().tolist() for name, stored in found[which].items()} == {
            name: tensor.tolist() for name, tensor in average.items()
        }


@pytest.mark.parametrize("kind", ["new", "old"])
def test_a_model_is_loaded_with_the_weights_that_were_validated(tmp_path, caplog, kind):
    average = parameters(99)
    more = {"evaluation_weights": average} if kind == "new" else {"ema": {"weights": average}, "config": AVERAGED}
    folder = write(tmp_path, 1, **more)
    with caplog.at_level(logging.INFO, logger="prospero"):
        model, _, config = load_model(folder)
        last, _, raw_config = load_model(Checkpoint.open(folder), raw=True)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, average[name]), name
    assert model.state_dict().keys() == weights(1).keys()
    assert all(torch.equal(tensor, weights(1)[name]) for name, tensor in last.state_dict().items())
    assert caplog.messages == [
        "step_00000001: the weights that were validated, an average of those of training",
        "step_00000001: the weights of the last step, not the average that was validated",
    ]
    assert config["facts"]["weights"] == caplog.messages[0][15:]
    assert raw_config["facts"]["weights"] == caplog.messages[1][15:]


def test_validated_weights_of_another_model_are_refused(tmp_path):
    folder = write(tmp_path, 1, evaluation_weights={"head.bias": torch.zeros(1), **parameters(1)})
    with pytest.raises(DataError, match=r"the validated weights are of another model; they differ in head.bias"):
        load_model(folder)


def test_a_run_folder_gives_its_best_checkpoint(tmp_path):
    write(tmp_path, 1, {"val/loss": 1.0})
    write(tmp_path, 2, {"val/loss": 2.0})
    assert load_model(str(tmp_path))[2]["facts"]["step"] == 1
    assert load_model(tmp_path, raw=True)[2]["facts"]["step"] == 1
    with pytest.raises(DataError, match="holds no model: no readable checkpoint under checkpoints/"):
        load_model(tmp_path / "checkpoints", raw=True)
