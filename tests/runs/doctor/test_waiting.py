"""Waiting for data, and saving."""

import pytest

from prospero.runs.doctor.finding import CannotJudge, Severity
from prospero.runs.doctor.waiting import checkpoint_time, data_bound
from tests.runs.doctor.records import course, record


def test_a_run_that_waits():
    assert data_bound(record()) is None
    found = data_bound(record(series={"train/data_wait_ratio": course(0.2)}))
    assert found is not None and found.number == pytest.approx(20) and found.severity is Severity.warning
    assert "data.num_workers=2" in found.advice
    found = data_bound(record(series={"train/data_wait_ratio": course(0.6)}, settings={"data": {"num_workers": 4}}))
    assert found is not None and found.severity is Severity.problem and "data.num_workers=8" in found.advice


def test_the_first_row_does_not_count_and_slow_rows_count_more():
    start = course(0.01, at_10=0.99)
    assert data_bound(record(series={"train/data_wait_ratio": start})) is None
    slow = {"train/data_wait_ratio": course(0.05, at_200=0.5), "train/step_seconds": course(0.1, at_200=2.0)}
    found = data_bound(record(series=slow))
    assert found is not None and found.number == pytest.approx(100 * (0.05 * 18 * 0.1 + 0.5 * 2.0) / (1.8 + 2.0))


def test_without_rows_there_is_no_answer():
    for rows, why in (([], "throughput"), ([(1, 0.5), (2, 0.5)], "2 rows are too few")):
        with pytest.raises(CannotJudge, match=why):
            data_bound(record(series={"train/data_wait_ratio": rows}))


def test_saving_that_takes_long():
    assert checkpoint_time(record()) is None
    seconds = [(step, step * 1.0) for step in range(10, 210, 10)]
    series = {"train/seconds": seconds, "train/checkpoint_stall_seconds": course(1.0)}
    found = checkpoint_time(record(series=series))
    assert found is not None and found.number == pytest.approx(100 * 20 / 220)
    few = {"train/seconds": seconds, "train/checkpoint_stall_seconds": [(100, 10.0), (200, 10.0)]}
    assert checkpoint_time(record(series=few)) is None  # the last save and one more
