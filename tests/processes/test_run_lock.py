"""One process a run folder, whoever it was that died."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from prospero.errors import ConfigError
from prospero.processes.run_lock import FILE, RunLock

HOLD = """
import sys, time
from pathlib import Path
from prospero.processes.run_lock import RunLock
lock = RunLock(Path(sys.argv[1])).take()
print("held", flush=True)
time.sleep(60)
"""


def test_a_second_process_is_refused_by_name_until_the_first_lets_go(tmp_path):
    first = RunLock(tmp_path).take()
    with pytest.raises(ConfigError, match=rf"in use by process {os.getpid()} on \S+ since \d{{4}}-") as refusal:
        RunLock(tmp_path).take()
    assert "\n" not in str(refusal.value)
    first.release()
    RunLock(tmp_path).take().release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.processes
def test_a_killed_process_is_no_obstacle(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    with pytest.raises(ConfigError, match=f"process {process.pid} "):
        RunLock(tmp_path).take()
    process.kill()
    process.wait()
    start = time.monotonic()
    with RunLock(tmp_path).take():
        assert json.loads((tmp_path / FILE).read_text())["pid"] == os.getpid()
    assert time.monotonic() - start < 1


@pytest.mark.parametrize("lives", [True, False])
def test_a_holder_on_another_machine_is_judged_by_the_time_of_the_file(tmp_path, lives):
    path = tmp_path / FILE
    path.write_text(json.dumps({"host": "elsewhere", "pid": 7, "since": "2024-05-01 12:00:00"}))
    stop = threading.Event()

    def beat(path: Path) -> None:
        while not stop.wait(0.02):
            os.utime(path)

    thread = threading.Thread(target=beat, args=(path,))
    if lives:
        thread.start()
    try:
        if lives:
            with pytest.raises(ConfigError, match="process 7 on elsewhere since 2024-05-01 12:00:00"):
                RunLock(tmp_path, beat_seconds=0.05).take()
        else:
            RunLock(tmp_path, beat_seconds=0.05).take().release()
    finally:
        stop.set()
        if lives:
            thread.join()
