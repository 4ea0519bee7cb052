"""Energy counters: a powercap folder made here, a library that answers as NVML does."""

import ctypes

import pytest

from prospero.processes.energy import GPUEnergy, ProcessorEnergy


def zone(root, place, name, microjoules, most=1000):
    folder = root / place
    folder.mkdir(parents=True)
    for file, text in (("name", name), ("energy_uj", microjoules), ("max_energy_range_uj", most)):
        (folder / file).write_text(f"{text}\n")
    return folder / "energy_uj"


def test_sockets_and_memory_add_up_and_what_they_hold_is_not_counted_twice(tmp_path):
    files = [
        zone(tmp_path, "intel-rapl:0", "package-0", 100),
        zone(tmp_path, "intel-rapl:1", "package-1", 200),
        zone(tmp_path, "intel-rapl:0:1", "dram", 0),
    ]
    zone(tmp_path, "intel-rapl:0:0", "core", 50)
    zone(tmp_path, "intel-rapl:2", "psys", 500)
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 100)
    counter = ProcessorEnergy.open(tmp_path)
    assert isinstance(counter, ProcessorEnergy) and counter.joules() == 0
    for file, microjoules in zip(files, (110, 230, 5)):
        file.write_text(f"{microjoules}\n")
    (tmp_path / "intel-rapl:0:0" / "energy_uj").write_text("999\n")
    assert counter.joules() == pytest.approx(45e-6)
    assert counter.joules() == pytest.approx(45e-6)


def test_a_counter_that_has_come_round_goes_on(tmp_path):
    file = zone(tmp_path, "intel-rapl:0", "package-0", 900, most=1000)
    counter = ProcessorEnergy.open(tmp_path)
    assert isinstance(counter, ProcessorEnergy)
    for now in (950, 30, 10):  # it has come round twice
        file.write_text(f"{now}\n")
        found = counter.joules()
    assert found == pytest.approx((50 + 50 + 30 + 970 + 10) * 1e-6)


def test_where_there_is_none_the_reason_is_said(tmp_path, monkeypatch):
    assert ProcessorEnergy.open(tmp_path / "none") == f"no counter of a processor's energy (RAPL) under {tmp_path}/none"
    file = zone(tmp_path, "intel-rapl:0", "package-0", "words")
    assert str(ProcessorEnergy.open(tmp_path)).startswith("RAPL cannot be read: invalid literal")
    file.unlink()
    assert "No such file" in str(ProcessorEnergy.open(tmp_path))

    def refuse(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("prospero.processes.energy._number", refuse)
    assert str(ProcessorEnergy.open(tmp_path)).endswith("may not be read by this user (root may: chmod a+r)")


class Library:
    """Answers as libnvidia-ml does."""

    def __init__(self, codes=(0, 0, 0)):
        self.codes = codes
        self.millijoules = 5000

    def nvmlInit_v2(self):
        return self.codes[0]

    def nvmlDeviceGetHandleByUUID(self, uuid, handle):
        assert uuid == b"GPU-1"
        return self.codes[1]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle, found):
        found._obj.value = self.millijoules
        return self.codes[2]


def test_a_gpu_counts_from_when_it_was_opened():
    library = Library()
    counter = GPUEnergy.open("GPU-1", library)
    assert isinstance(counter, GPUEnergy)
    library.millijoules += 2500
    assert counter.joules() == 2.5
    library.codes = (0, 0, 15)
    with pytest.raises(OSError, match="code 15"):
        counter.joules()


def test_a_gpu_that_does_not_say_its_energy_has_a_reason():
    assert GPUEnergy.open("GPU-1", Library((9, 0, 0))) == "NVML refuses GPU-1 (code 9)"
    assert GPUEnergy.open("GPU-1", Library((0, 2, 0))) == "NVML refuses GPU-1 (code 2)"
    assert GPUEnergy.open("GPU-1", Library((0, 0, 3))) == "the GPU keeps no counter of its energy (NVML code 3)"
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        assert str(GPUEnergy.open("GPU-1")).startswith("NVML cannot be loaded: ")
