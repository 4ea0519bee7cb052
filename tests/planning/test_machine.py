"""What is measured of the machine."""

from dataclasses import replace

from prospero.planning.machine import Gpu, Machine, disk_speed, look_at_machine, machine_lines

GB = 2**30
MACHINE = Machine(
    cores=2, load=0.5, memory_bytes=16 * GB, available_bytes=12 * GB, shared_bytes=8 * GB, disk_free_bytes=100 * GB,
    write_bytes_per_second=1e9, read_bytes_per_second=2e9, cpu_flops=1e11, threads=2,
)  # fmt: skip
CARD = Gpu(name="NVIDIA H100", memory_bytes=80 * GB, free_bytes=78 * GB, flops=6e14)


def test_the_disk_is_left_as_it_was(tmp_path):
    write, read = disk_speed(tmp_path, 2**20)
    assert write > 0 and read > 0 and list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    assert disk_speed(tmp_path / "file", 2**20) == (0.0, 0.0)  # nothing can be written there


def test_a_folder_that_is_not_there_yet_is_on_the_disk_of_the_one_above(tmp_path):
    found = look_at_machine(tmp_path / "outputs" / "train", cpu_flops=1e9)
    assert found.cores >= 1 and 0 < found.available_bytes <= found.memory_bytes and found.disk_free_bytes > 0
    assert found.cpu_flops == 1e9 and list(tmp_path.iterdir()) == []


def test_the_lines():
    lines = machine_lines(MACHINE)
    assert lines[0] == "processor  2 cores, 2 threads of torch, load 0.5; 100 GFLOP/s in float32"
    assert lines[1] == "memory     12.0 of 16.0 GB to be had, /dev/shm 8.0 GB free"
    assert lines[2] == "disk       100.0 GB free; writes 1,000 MB/s, reads 2,000 MB/s"
    assert lines[3] == "GPU        none that torch can use"
    with_cards = machine_lines(replace(MACHINE, gpus=[CARD, CARD], nccl="2.27.5"))
    assert with_cards[4] == "GPU 1      NVIDIA H100, 78.0 of 80.0 GB free; 600 TFLOP/s in bfloat16"
    assert with_cards[5] == "NCCL       2.27.5"
