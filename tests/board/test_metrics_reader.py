"""Reading a metrics.csv that grows: only what is new is read, and nothing of another file is kept."""

import os
import threading

import numpy as np
import pytest

from prospero.board.metrics_reader import MetricsReader, newest_values
from prospero.runs.metrics import metric_series
from prospero.training.loggers.metrics_file import MetricsFile
from tests.board.fakes import csv_of, rows

ODD = [
    'step,a,"b,c"\n1,0.5,2\n2,,3\n',  # a name in quotes
    "step,a\n1,0.5\n2\n3,0.25,9\n4,x\n,7\n5,nan\n6,inf\n-7,1\n",  # too short, too long, no number, no step
    "a,step\n0.5,1\n0.25,2\n",  # the step is not the first
    "step,a,a\n1,2,3\n",  # a name twice
    "step,a\r\n1,2\r\n",  # line ends of another system
    "step,a\n1,2\n\0\0\0\n3,4\n",  # zeros where a disk was full
    "step,a\n1.0,2\n",  # a step that is no whole number
    'step,a\n1,"2\n3,4\n',  # a quote without an end
    "step,a\n1,1_000\n2, 5\n",
]


def read(path):
    reader = MetricsReader(path)
    reader.refresh()
    return reader


def as_series(reader):
    steps = reader.columns.get("step", np.empty(0))
    return {
        name: [(int(step), value) for step, value in zip(steps, column.tolist()) if not np.isnan(value)]
        for name, column in reader.columns.items()
        if name != "step"
    }


def test_a_file_is_read_as_the_report_reads_it(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("step,tokens,train/loss,val/loss\n1,100,6.5,\n10,1000,5.25,5.0\n20,2000,,4.0\n")
    assert as_series(read(path)) == metric_series(path)
    assert read(path).columns["train/loss"].dtype == np.float64


@pytest.mark.parametrize("text", ODD)
def test_what_is_odd_is_left_out_and_the_rest_is_read(tmp_path, text):
    path = tmp_path / "metrics.csv"
    path.write_bytes(text.encode())
    found = as_series(read(path))
    assert all(len(column) == len(read(path).columns["step"]) for column in read(path).columns.values())
    first = next(iter(found))
    assert found[first][:1] in ([(1, 0.5)], [(1, 2.0)], [(1, 1000.0)], []), found


def test_of_a_file_that_has_grown_only_the_end_is_read(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text(csv_of(rows(1000)))
    reader = read(path)
    whole = reader.read_bytes
    with open(path, "a") as file:
        file.write("10010,1001000,0.5\n10020,10")  # half a line
    assert reader.refresh()
    assert reader.read_bytes < whole / 100
    assert reader.columns["step"][-2:].tolist() == [10000, 10010]
    assert len(reader.columns["step"]) == 1001
    with open(path, "a") as file:
        file.write("02000,0.25\n")
    reader.refresh()
    assert reader.columns["train/loss"][-2:].tolist() == [0.5, 0.25]
    assert not reader.refresh()
    assert reader.read_bytes == 0


def test_the_last_row_is_taken_again_for_it_may_not_be_complete(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("step,a,b\n1,1,1\n2,2,\n")
    reader = read(path)
    assert np.isnan(reader.columns["b"][-1])
    with open(path, "r+") as file:
        file.seek(len("step,a,b\n1,1,1\n"))
        file.write("2,2,5\n3,3,\n")
    reader.refresh()
    assert reader.read_bytes == len("2,2,5\n3,3,\n")
    assert as_series(reader) == {"a": [(1, 1.0), (2, 2.0), (3, 3.0)], "b": [(1, 1.0), (2, 5.0)]}


@pytest.mark.parametrize("how", ["a new header", "another file", "in place", "shorter", "begun again"])
def test_another_file_of_the_same_name_is_read_anew(tmp_path, how):
    path = tmp_path / "metrics.csv"
    path.write_text(csv_of(rows(300)))
    reader = read(path)
    if how == "a new header":
        new = csv_of([row | {"val/loss": 1} for row in rows(301)], ("step", "tokens", "train/loss", "val/loss"))
    elif how == "shorter":
        new = csv_of(rows(3))
    else:
        new = csv_of(rows(400, loss=9.0))
    if how in ("in place", "begun again"):  # the same inode
        with open(path, "r+") as file:
            file.write(new)
            file.truncate()
    else:
        (tmp_path / "new").write_text(new)
        os.replace(tmp_path / "new", path)
    assert reader.refresh()
    assert as_series(reader) == metric_series(path)


def test_what_a_run_writes_is_followed_to_the_last_number(tmp_path):
    """The training's own writer: rows in place, columns that come later, a course taken back."""
    writer, reader = MetricsFile(tmp_path), MetricsReader(tmp_path / "metrics.csv")
    writer.open_at(0)
    for step in range(1, 40):
        writer.write_metrics({"train/loss": 1 / step, "tokens": step * 10}, step)
        if step % 3 == 0:
            reader.refresh()
        if step % 7 == 0:
            writer.write_metrics({"val/loss": step / 2}, step)
        if step == 20:
            writer.write_metrics({"late": 1.0}, step)
        if step == 30:
            writer.open_at(25)
        reader.refresh()
        assert as_series(reader) == metric_series(tmp_path / "metrics.csv"), step
    writer.close_file()


def test_a_file_that_goes_and_comes(tmp_path):
    path = tmp_path / "metrics.csv"
    reader = MetricsReader(path)
    assert not reader.refresh()
    path.write_text("")
    reader.refresh()
    assert reader.columns == {}
    path.write_text("step,a\n")
    reader.refresh()
    assert {name: column.tolist() for name, column in reader.columns.items()} == {"step": [], "a": []}
    with open(path, "a") as file:
        file.write("1,2\n")
    reader.refresh()
    assert as_series(reader) == {"a": [(1, 2.0)]}
    path.unlink()
    assert reader.refresh()
    assert reader.columns == {}


def test_the_newest_values_are_found_at_the_end_of_a_long_file(tmp_path):
    path = tmp_path / "metrics.csv"
    columns = ("step", "tokens", "train/loss", "val/loss", "test/loss")
    many = [row | ({"val/loss": row["step"]} if n % 25 == 0 else {}) for n, row in enumerate(rows(9000))]
    path.write_text(csv_of(many, columns))
    found = newest_values(path)
    assert found.step == 90000
    assert found.values == {"tokens": 9_000_000, "train/loss": rows(9000)[-1]["train/loss"], "val/loss": 89760}
    assert found.columns == list(columns)


@pytest.mark.parametrize("text", ["", "step,a\n", "step,a", "step,a\n1"])
def test_a_file_that_has_just_begun_is_not_damaged(tmp_path, text):
    path = tmp_path / "metrics.csv"
    path.write_text(text)
    assert (newest_values(path).step, newest_values(path).damage) == (None, None)


def test_a_file_without_a_step_is_damaged(tmp_path):
    (tmp_path / "metrics.csv").write_text("a,b\n1,2\n")
    assert newest_values(tmp_path / "metrics.csv").damage == "metrics.csv has no header with a column step"


def test_a_file_that_is_written_while_it_is_read_is_never_torn(tmp_path):
    """One thread writes as training does, new columns among it; each look holds whole rows in their order."""
    writer, reader = MetricsFile(tmp_path), MetricsReader(tmp_path / "metrics.csv")
    writer.open_at(0)
    done = threading.Event()

    def write():
        for step in range(1, 400):
            writer.write_metrics({"tokens": step * 10, "train/loss": float(step)}, step)
            if step % 50 == 0:
                writer.write_metrics({f"late/{step}": float(step)}, step)
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    looks = 0
    while not done.is_set():
        reader.refresh()
        if "train/loss" in reader.columns:
            steps, loss = reader.columns["step"], reader.columns["train/loss"]
            assert np.array_equal(steps, np.arange(1, len(steps) + 1))
            assert np.array_equal(loss, steps)
            assert newest_values(tmp_path / "metrics.csv").damage is None
            looks += 1
    thread.join()
    writer.close_file()
    reader.refresh()
    assert looks > 3
    assert as_series(reader) == metric_series(tmp_path / "metrics.csv")


@pytest.mark.deep
def test_whatever_a_disk_does_to_a_file_a_look_survives(tmp_path):
    random = np.random.default_rng(0)
    path, reader = tmp_path / "metrics.csv", MetricsReader(tmp_path / "metrics.csv")
    whole = csv_of(
        [row | {"val/loss": 1.5} for row in rows(200)], ("step", "tokens", "train/loss", "val/loss")
    ).encode()
    for _ in range(3000):
        data = bytearray(whole[: random.integers(0, len(whole))])
        for place in random.integers(0, max(1, len(data)), size=random.integers(0, 4)):
            data[place : place + 1] = bytes(random.integers(0, 256, size=random.integers(0, 3), dtype=np.uint8))
        path.write_bytes(bytes(data))
        reader.refresh()
        newest_values(path)
        for one in (reader, read(path)):
            assert len({len(column) for column in one.columns.values()}) <= 1
            assert not np.isnan(one.columns.get("step", np.empty(0))).any()
