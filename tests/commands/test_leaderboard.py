"""`leaderboard`: which runs it reads, and what it prints."""

import pytest
from tests.runs.test_leaderboard import RUN, three, written

from prospero.commands.leaderboard import LeaderboardConfig, leaderboard
from prospero.errors import ConfigError
from prospero.runs import leaderboard as rules
from prospero.runs.leaderboard import fingerprint


@pytest.fixture(autouse=True)
def pinned(monkeypatch):
    monkeypatch.setattr(rules, "CORPORA", {fingerprint(RUN["receipt"]): "a text"})
    words = ["train.py", "-m", "experiment=leaderboard_default"]
    monkeypatch.setitem(RUN["environment"], "command_line", words)  # what the folders below are written with


def test_a_sweep_is_read_whole_by_any_of_its_runs(tmp_path, capsys):
    place = tmp_path / "outputs" / "sweeps" / "one"
    three(place)
    (place / "sweep.json").write_text("{}")
    outputs = str(tmp_path / "outputs")
    for run in (str(place), str(place / "2"), "1"):
        assert leaderboard(LeaderboardConfig(run=run, outputs_dir=outputs)) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "60 s on two CPU cores"
        assert lines[-1].startswith("| 2.2000 ± 0.2484 | leaderboard_default |")


def test_entries_stand_by_their_number_and_one_run_is_not_enough(tmp_path, capsys):
    three(tmp_path / "first")
    folders = [str(tmp_path / "first" / str(seed)) for seed in (1, 2, 3)]
    for seed in (1, 2, 3):
        folder = tmp_path / "second" / f"better{seed}"
        written(folder, config__seed=seed, config__tokenizer={"vocab_size": 9})
        folders.append(str(folder))
    assert leaderboard(LeaderboardConfig(runs=folders)) == 0
    assert [line[:8] for line in capsys.readouterr().out.splitlines()[-2:]] == ["| 2.0000", "| 2.2000"]
    with pytest.raises(ConfigError, match="these runs are 2; leave it out"):
        leaderboard(LeaderboardConfig(runs=folders, title="mine"))
    assert leaderboard(LeaderboardConfig(runs=folders[:3], title="mine")) == 0
    assert "| mine |" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="of leaderboard_default there are seeds 1; train them with: python train"):
        leaderboard(LeaderboardConfig(run=folders[0]))


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="run= is empty"):
        LeaderboardConfig(run=" ")
    with pytest.raises(ConfigError, match=r"title= holds '\|'"):
        LeaderboardConfig(title="a|b")
    (tmp_path / "sweep.json").write_text("{}")
    with pytest.raises(ConfigError, match="holds no run yet"):
        leaderboard(LeaderboardConfig(run=str(tmp_path)))
