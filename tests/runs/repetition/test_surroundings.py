"""What two environments differ in."""

import json

import pytest

from prospero.errors import DataError
from prospero.runs.folder import RunFolder
from prospero.runs.repetition.surroundings import DIFF, differences, read_environment

THEN = {
    "command_line": ["train.py"],
    "python": "3.11.7",
    "packages": {"torch": "2.13.0", "numpy": "2.4.6"},
    "cpu": "a",
    "cpu_cores": 8,
    "memory_bytes": 1,
    "hardware": {"threads": 2, "precision": "float32"},
    "data_fingerprint": "0" * 32,
    "git": {"commit": "0123456789" * 4, "changed": False},
    DIFF: "",
}


def test_what_moves_no_digit_is_no_difference():
    assert not differences(THEN, {**THEN, "command_line": ["x"], "memory_bytes": 2, "cpu_cores": 4})


def test_each_fact_is_named_with_both_values():
    now = {
        **THEN,
        "hardware": {"threads": 1, "precision": "float32"},
        "packages": {"torch": "2.14.0", "numpy": "2.4.6"},
    }
    now |= {"git": {"commit": "ab" * 20, "changed": True}, DIFF: "+a\n-b\n"}
    assert list(map(str, differences(THEN, now))) == [
        "packages.torch 2.13.0 -> 2.14.0",
        "hardware.threads 2 -> 1",
        "git.commit 012345678901 -> abababababab",
        "uncommitted changes 0 lines of diff -> 2 lines of diff",
    ]


def test_what_was_not_written_down_then_is_not_known_to_differ():
    before = {name: value for name, value in THEN.items() if name not in ("hardware", "data_fingerprint")}
    assert not differences(before, THEN)
    assert not differences({}, {})


def test_two_diffs_of_one_length_differ():
    found = differences({**THEN, DIFF: "+a\n"}, {**THEN, DIFF: "+b\n"})
    assert [difference.name for difference in found] == [DIFF]


def test_the_changes_of_the_clone_are_read_with_the_facts(tmp_path):
    run = RunFolder(tmp_path)
    assert read_environment(run) == {}
    run.environment.write_text(json.dumps({"python": "3"}))
    run.code_diff.write_text("+a\n")
    assert read_environment(run) == {"python": "3", DIFF: "+a\n"}
    run.environment.write_text("[")
    with pytest.raises(DataError, match=r"environment\.json is damaged"):
        read_environment(run)
