"""What a run has used, over its starts and processes, by hand."""

import pytest

from prospero.errors import DataError
from prospero.runs.folder import RunFolder
from prospero.runs.usage import Start, all_starts, in_words, read_starts, total, write_starts


def start(**facts):
    return Start(**{"began": "2026-01-01 00:00:00", "host": "a", "seconds": 3600.0, "cpu_seconds": 1800.0, **facts})


def test_two_processes_on_one_machine_continued_once(tmp_path):
    run = RunFolder(tmp_path)
    first = [start(cpu_joules=3.6e6, price_per_hour=2.0), start(seconds=1800.0, cpu_joules=1.8e6, price_per_hour=4.0)]
    second = start(first_of_host=False, cpu_note="counted by the first process of the machine")
    write_starts(run.usage_of(0), first)
    write_starts(run.usage_of(1), [second, second])
    assert read_starts(run.usage) == first
    found = total(all_starts(run))
    assert (found["starts"], found["machine_hours"], found["cpu_hours"], found["gpu_hours"]) == (2, 1.5, 2.0, 0)
    assert found["cpu_energy_kwh"] == 1.5 and found["cpu_energy_note"] == ""
    assert found["gpu_energy_kwh"] is None and found["gpu_energy_note"] == "no GPU was used"
    assert found["cost"] == 2.0 + 4.0 / 2 and found["cost_note"] == ""


def test_machines_and_gpus_add_up():
    starts = [
        start(host=host, first_of_host=first, gpu=True, gpu_joules=7.2e6, cpu_joules=3.6e6 if first else None)
        for host in ("a", "b")
        for first in (True, False)
    ]
    found = total(starts)
    assert (found["starts"], found["machine_hours"], found["gpu_hours"]) == (1, 2.0, 4.0)
    assert (found["cpu_energy_kwh"], found["gpu_energy_kwh"], found["cost"]) == (2.0, 8.0, None)


def test_a_sum_with_a_part_missing_is_null_and_says_why():
    found = total([start(cpu_joules=3.6e6), start(cpu_note="no counter"), start(cpu_note="no counter")])
    assert found["cpu_energy_kwh"] is None
    assert found["cpu_energy_note"] == "no counter; 1 kWh in 1 of 3 starts"
    assert in_words(found) == [
        "3 hours of machines in 3 start(s), 1.5 of processors, 0 of GPUs",
        "energy of processors and memory: not known, no counter; 1 kWh in 1 of 3 starts",
        "energy of GPUs: not known, no GPU was used",
        "cost: not known, price_per_hour= was not given",
    ]


def test_a_damaged_file_is_named(tmp_path):
    assert read_starts(tmp_path / "usage.json") == []
    for text in ("[", "[3]", '[{"host": "a"}]'):
        (tmp_path / "usage.json").write_text(text)
        with pytest.raises(DataError, match=r"usage\.json is damaged"):
            read_starts(tmp_path / "usage.json")
