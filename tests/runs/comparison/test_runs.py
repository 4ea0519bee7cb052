"""Runs as a comparison sees them: who takes part, who belongs together, in what they differ."""

import pytest

from prospero.errors import DataError
from prospero.runs.comparison.runs import (
    FinishedRun,
    Group,
    grouped,
    note_on_tokens,
    read_run,
    settings_that_differ,
    without_seed,
)
from tests.runs.comparison.fakes import fake_run


def read(folder, **how) -> FinishedRun:
    run = read_run(fake_run(folder, **how))
    assert isinstance(run, FinishedRun)
    return run


def groups_of(tmp_path, *hows: dict) -> list[Group]:
    return grouped([read(tmp_path / str(place), **how) for place, how in enumerate(hows)], lambda note: None)


def test_a_run_is_read_from_its_files(tmp_path):
    run = read(tmp_path / "2026-01-02_03-04-05_first", seed=7, accuracy=0.5)
    assert (run.name, run.seed, run.fingerprint) == ("first", 7, "f00d")
    assert run.values == {"val/loss": 2.0, "val/accuracy": 0.5}
    assert run.settings["model"] == "transformer" and run.settings["model.d_model"] == 64
    assert run.higher_is_better("val/accuracy") and not run.higher_is_better("val/loss")


@pytest.mark.parametrize(
    ("status", "said"),
    [("RUNNING", "has not come to its end"), ("PRUNED", "was pruned before its end"), ("STOPPED", "was stopped")],
)
def test_a_run_that_did_not_come_to_its_end_takes_no_part(status, said, tmp_path):
    assert str(read_run(fake_run(tmp_path / "a", status=status))).startswith(said)


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"is no run: it has no config\.yaml"):
        read_run(tmp_path)


def test_runs_that_differ_in_their_seed_alone_belong_together(tmp_path):
    found = groups_of(tmp_path, {"seed": 1}, {"seed": 1, "width": 32}, {"seed": 2})
    assert [group.seeds for group in found] == [[1, 2], [1]]
    assert [group.name for group in found] == ["model.d_model=64", "model.d_model=32"]


def test_the_same_seed_twice_counts_once(tmp_path):
    said: list[str] = []
    runs = [read(tmp_path / name) for name in "ab"]
    assert [len(group.runs) for group in grouped(runs, said.append)] == [1]
    assert said == ["b is left out: a has the same settings and the same seed"]


def test_names_without_their_seed_name_a_group(tmp_path):
    runs = [read(tmp_path / f"lstm_seed{seed}", seed=seed, kind="lstm") for seed in (1, 2)]
    runs += [read(tmp_path / f"big seed={seed}", seed=seed) for seed in (1, 2)]
    assert [group.name for group in grouped(runs, print)] == ["lstm", "big"]
    assert without_seed("seed=3") == ""


def test_what_only_one_kind_of_model_has_is_no_difference(tmp_path):
    found = groups_of(tmp_path, {"kind": "lstm", "width": 72}, {"kind": "transformer"})
    assert settings_that_differ(found) == {"model": ["lstm", "transformer"], "model.d_model": [72, 64]}


def test_the_order_of_the_data_is_that_of_the_same_text(tmp_path):
    one, other, text = (
        read(tmp_path / name, **how) for name, how in {"a": {}, "b": {"width": 3}, "c": {"fingerprint": "beef"}}.items()
    )
    assert one.same_order(other) and not one.same_order(text)


def test_nats_per_token_of_other_data_are_noted(tmp_path):
    found = groups_of(tmp_path, {"width": 3}, {"fingerprint": "beef"})
    assert "cannot be compared between different tokenizers or data (the prepared data)" in note_on_tokens(
        found, "val/loss"
    )
    assert note_on_tokens(found, "val/bits_per_byte") == ""
    assert note_on_tokens(groups_of(tmp_path / "same", {}, {"width": 3}), "val/loss") == ""
