"""Run folders are made once, and found again."""

import os
import time

import pytest

from prospero.errors import ConfigError
from prospero.processes.rendezvous import ALONE
from prospero.runs import find as find_run


def make_run(outputs, name, when):
    folder = outputs / "train" / name
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("")
    (folder / "checkpoints").mkdir()
    os.utime(folder / "config.yaml", (when, when))
    return folder


def test_two_runs_of_one_second_get_two_folders(tmp_path):
    first = find_run.create(str(tmp_path), None, "a b/c", resume=False)
    second = find_run.create(str(tmp_path), None, "a b/c", resume=False)
    assert first != second and first.is_dir() and second.is_dir()
    assert first.name.endswith("_a_b_c")


class RankOne:
    """A rendezvous in which rank 0 has made a folder already."""

    rank = 1

    def __init__(self, folder):
        self.folder = folder

    def share(self, name, make):
        return str(self.folder)


def test_ranks_take_the_folder_of_rank_zero(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = find_run.agree(ALONE, outputs_dir="outputs", run_dir=None, name="x", resume=False)
    assert not first.is_absolute() and first.is_dir()
    rank_one = RankOne(first.resolve())
    assert find_run.agree(rank_one, outputs_dir="outputs", run_dir=None, name="y", resume=False) == first
    assert len(list((tmp_path / "outputs" / "train").iterdir())) == 1


def test_a_rank_that_does_not_see_the_folder_says_so(tmp_path):
    with pytest.raises(ConfigError, match="not to be seen from rank 1; give run_dir="):
        rank_one = RankOne(tmp_path / "elsewhere")
        find_run.agree(rank_one, outputs_dir=str(tmp_path), run_dir=None, name="x", resume=False)


def test_a_run_is_never_overwritten(tmp_path):
    (tmp_path / "config.yaml").write_text("")
    with pytest.raises(ConfigError, match="already holds a run"):
        find_run.create("outputs", str(tmp_path), "x", resume=False)
    assert find_run.create("outputs", str(tmp_path), "x", resume=True) == tmp_path


def test_a_path_through_a_file_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError) as error:
        find_run.create("outputs", str(tmp_path / "file" / "run"), "x", resume=False)
    assert "\n" not in str(error.value)


def test_find_by_last_name_and_folder(tmp_path):
    now = time.time()
    old = make_run(tmp_path, "2026-01-01_00-00-00_alpha", now - 100)
    new = make_run(tmp_path, "2026-01-02_00-00-00_beta", now)
    assert find_run.find("last", str(tmp_path)) == new
    assert find_run.find("alpha", str(tmp_path)) == old
    assert find_run.find(old.name, str(tmp_path)) == old
    assert find_run.find(str(old), str(tmp_path)) == old
    with pytest.raises(ConfigError, match="Did you mean 'alpha'"):
        find_run.find("alfa", str(tmp_path))


def test_no_run_yet(tmp_path):
    with pytest.raises(ConfigError, match="train one with"):
        find_run.find("last", str(tmp_path))


def test_last_passes_over_a_run_that_has_nothing_to_load(tmp_path):
    trained = make_run(tmp_path, "2026-01-01_00-00-00_alpha", time.time() - 100)
    make_run(tmp_path, "2026-01-02_00-00-00_beta", time.time()).joinpath("checkpoints").rmdir()
    assert find_run.find("last", str(tmp_path)) == trained
