"""The meter of a process: totals of the run, not of its last start."""

import pytest

from prospero.errors import ConfigError
from prospero.processes.energy import ProcessorEnergy
from prospero.runs.usage import read_starts
from prospero.training.settings import TrainConfig
from prospero.training.usage import UsageMeter
from tests.processes.test_energy import zone


def test_a_run_that_goes_on_keeps_what_its_earlier_starts_used(tmp_path):
    counter = zone(tmp_path / "powercap", "intel-rapl:0", "package-0", 0, most=10**9)
    file = tmp_path / "usage.json"
    for number, from_step in enumerate((0, 20)):
        processor = ProcessorEnergy.open(tmp_path / "powercap")
        meter = UsageMeter(processor=processor, price_per_hour=1.5)
        meter.begin(file, from_step, every_seconds=100)
        counter.write_text(f"{(number + 1) * 3_000_000}\n")
        meter.close()
        meter.update()  # what is closed writes no more
    found = read_starts(file)
    assert [start.from_step for start in found] == [0, 20]
    assert [start.cpu_joules for start in found] == [pytest.approx(3.0), pytest.approx(3.0)]
    assert all(start.seconds > 0 and start.cpu_seconds >= 0 and start.price_per_hour == 1.5 for start in found)


def test_a_killed_start_has_left_what_it_had_used(tmp_path):
    meter = UsageMeter(processor="no counter", gpu="no library")
    meter.begin(tmp_path / "usage.json", 0, every_seconds=0.01)
    while not read_starts(tmp_path / "usage.json")[0].seconds > 0.03:
        pass
    (found,) = read_starts(tmp_path / "usage.json")
    assert (found.cpu_joules, found.cpu_note, found.gpu_joules, found.gpu_note) == (
        None,
        "no counter",
        None,
        "no library",
    )
    meter.close()


def test_a_counter_that_fails_on_the_way_gives_no_number(tmp_path):
    counter = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    meter = UsageMeter(processor=ProcessorEnergy.open(tmp_path))
    meter.begin(tmp_path / "usage.json", 0, every_seconds=100)
    counter.unlink()
    meter.close()
    (found,) = read_starts(tmp_path / "usage.json")
    assert found.cpu_joules is None and found.cpu_note.startswith("RAPL could not be read any more")


def test_a_disk_that_takes_nothing_ends_nothing(tmp_path, caplog):
    meter = UsageMeter(processor="no counter")
    meter.begin(tmp_path / "run" / "usage.json", 0, every_seconds=100)
    (tmp_path / "run").rename(tmp_path / "moved")
    (tmp_path / "run").write_text("a file in its place")
    meter.update()
    meter.close()
    assert [record.message.split(" (")[0] for record in caplog.records] == ["usage.json cannot be written"]


def test_a_damaged_file_is_put_aside(tmp_path, caplog):
    (tmp_path / "usage.json").write_text("[")
    meter = UsageMeter(processor="no counter")
    meter.begin(tmp_path / "usage.json", 0, every_seconds=100)
    meter.close()
    assert len(read_starts(tmp_path / "usage.json")) == 1 and (tmp_path / "usage.json.damaged").read_text() == "["
    assert "it is put aside as usage.json.damaged" in caplog.text


def test_a_price_is_no_debt():
    with pytest.raises(ConfigError, match="price_per_hour=-1 is not possible"):
        TrainConfig(price_per_hour=-1)
