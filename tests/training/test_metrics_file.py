"""metrics.csv: one row a step, all digits, nothing lost by a kill, nothing twice after a resume."""

import csv
import errno
import logging
import os

import pytest

from prospero import paths
from prospero.runs.metrics import metric_series, read_metrics
from prospero.training.loggers import metrics_file
from prospero.training.loggers.metrics_file import MetricsFile


def write(logger, steps, *, val_every=0, start=True):
    if start:
        logger.resume_at(min(steps) - 1)
    for step in steps:
        logger.log_metrics({"tokens": step * 10.0, "train/loss": 1 / step}, step)
        if val_every and step % val_every == 0:
            logger.log_metrics({"tokens": step * 10.0, "val/loss": 2 / step}, step)


def test_rows_of_one_step_are_joined_and_digits_kept(tmp_path):
    write(MetricsFile(tmp_path), range(1, 8), val_every=3)
    with open(tmp_path / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["step", "tokens", "train/loss", "val/loss"]
    assert [row["step"] for row in rows] == [str(s) for s in range(1, 8)]
    assert [float(row["train/loss"]) for row in rows] == [1 / s for s in range(1, 8)]
    assert [row["val/loss"] for row in rows] == ["", "", repr(2 / 3), "", "", repr(2 / 6), ""]


def test_every_row_is_on_disk_at_once(tmp_path):
    logger = MetricsFile(tmp_path)
    logger.resume_at(0)
    for step in range(1, 4):
        logger.log_metrics({"train/loss": 0.5}, step)
        assert len(read_metrics(tmp_path / "metrics.csv")) == step


def test_resume_gives_the_file_of_the_whole_run(tmp_path):
    write(MetricsFile(tmp_path / "whole"), range(1, 21), val_every=4)
    parts = tmp_path / "parts"
    write(MetricsFile(parts), range(1, 15), val_every=4)
    with open(parts / "metrics.csv", "a") as file:
        file.write("15,150.0,0.0")  # torn by a kill
    write(MetricsFile(parts), range(9, 21), val_every=4)
    assert (parts / "metrics.csv").read_text() == (tmp_path / "whole" / "metrics.csv").read_text()


def test_a_new_run_in_the_folder_starts_a_new_file(tmp_path):
    write(MetricsFile(tmp_path), range(1, 9))
    write(MetricsFile(tmp_path), range(1, 3))
    assert [row["step"] for row in read_metrics(tmp_path / "metrics.csv")] == ["1", "2"]


def test_a_shorter_value_leaves_no_rest(tmp_path):
    logger = MetricsFile(tmp_path)
    logger.log_metrics({"a": 1 / 3}, 1)
    logger.log_metrics({"a": 1.0}, 1)
    assert metric_series(tmp_path / "metrics.csv") == {"a": [(1, 1.0)]}


def test_killed_inside_any_line_and_resumed_earlier_the_file_is_that_of_the_whole_run(tmp_path):
    write(MetricsFile(tmp_path / "whole"), range(1, 9), val_every=3)
    whole = (tmp_path / "whole" / "metrics.csv").read_bytes()
    begun = whole.index(b"\n4,") + 1  # rows 1 to 3 stand
    for cut in range(begun, len(whole), 7):
        parts = tmp_path / str(cut)
        parts.mkdir()
        (parts / "metrics.csv").write_bytes(whole[:cut])
        write(MetricsFile(parts), range(4, 9), val_every=3)
        assert (parts / "metrics.csv").read_bytes() == whole, f"cut at byte {cut}"


@pytest.mark.parametrize("left", [b"", b"step,tok", b"step,tokens,train/loss\n", b"\xff\xfe\x00broken"])
def test_what_a_kill_left_of_the_header_is_no_obstacle(tmp_path, left):
    (tmp_path / "metrics.csv").write_bytes(left)
    write(MetricsFile(tmp_path), range(3, 5))
    assert [row["step"] for row in read_metrics(tmp_path / "metrics.csv")] == ["3", "4"]


@pytest.fixture
def disk(monkeypatch):
    """A disk whose room, in bytes, a test sets; None is endless."""

    class Disk:
        room: int | None = None

    found, write, rewrite = Disk(), os.write, paths.write_text

    def take(size: int) -> int:
        if found.room is None:
            return size
        taken, found.room = min(size, found.room), max(0, found.room - size)
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        return taken

    def write_some(file, data):
        return write(file, data[: take(len(data))])

    def write_whole(path, text):
        if found.room is not None and found.room < len(text):
            raise OSError(errno.ENOSPC, "No space left on device")
        rewrite(path, text)

    monkeypatch.setattr(metrics_file.os, "write", write_some)
    monkeypatch.setattr(metrics_file, "write_text", write_whole)
    monkeypatch.setattr(metrics_file, "LAST_TRIES_SECONDS", 0.02)
    monkeypatch.setattr(logging.getLogger("prospero"), "propagate", True)
    return found


@pytest.mark.parametrize("room", [0, 7, 40])
@pytest.mark.parametrize("full_from", [1, 2, 5])
@pytest.mark.parametrize("begin_at", [0, 3])
def test_a_disk_that_is_full_for_a_while_costs_no_row(tmp_path, disk, caplog, room, full_from, begin_at):
    """Full before the header is written, inside a line, before a new column comes; after a resume too."""
    write(MetricsFile(tmp_path / "whole"), range(1, 20), val_every=6)
    logger = MetricsFile(tmp_path / "a")
    steps = range(1, 20)
    if begin_at:
        write(MetricsFile(tmp_path / "a"), range(1, 6), val_every=6)  # rows 4 and 5 are those of before a kill
        steps = range(begin_at + 1, 20)
    caplog.clear()
    caplog.set_level(logging.INFO, logger="prospero")
    for number, step in enumerate(steps, 1):
        if number == full_from:
            disk.room = room
        if number == 1:
            logger.resume_at(begin_at)
        if number == full_from + 6:
            disk.room = None
        write(logger, [step], val_every=6, start=False)
    logger.close()
    assert (tmp_path / "a" / "metrics.csv").read_bytes() == (tmp_path / "whole" / "metrics.csv").read_bytes()
    assert [message.partition(" (")[0] for message in caplog.messages] == [
        "metrics.csv cannot be written",
        "metrics.csv is written again, no row is missing",
    ]


def test_a_disk_that_is_full_at_the_end_is_waited_for(tmp_path, disk, monkeypatch):
    logger = MetricsFile(tmp_path)
    write(logger, [1])
    disk.room = 0
    write(logger, [2, 3], start=False)
    monkeypatch.setattr(metrics_file.time, "sleep", lambda seconds: setattr(disk, "room", None))
    logger.close()
    assert [row["step"] for row in read_metrics(tmp_path / "metrics.csv")] == ["1", "2", "3"]


def test_rows_that_are_lost_in_the_end_are_said(tmp_path, disk, caplog):
    logger = MetricsFile(tmp_path)
    write(logger, [1])
    disk.room = 0
    write(logger, [2, 3], start=False)
    logger.close()
    assert (
        caplog.messages[-1] == "metrics.csv failed to finish (3 rows could not be written); training goes on without it"
    )
    assert [row["step"] for row in read_metrics(tmp_path / "metrics.csv")] == ["1"]
