"""Programs in the cage: right ones pass, hostile ones do no harm and fail, and nothing of them stays."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from prospero.errors import DataError
from prospero.evaluation.cage.limits import CageConfig
from prospero.evaluation.cage.runner import Verdict, _remove, gaps, run_program, run_programs

pytestmark = [pytest.mark.processes, pytest.mark.skipif(os.name != "posix", reason="a cage needs a POSIX system")]
LIMITS = CageConfig(seconds=30, cpu_seconds=20, memory_mb=256)
BRIEF = CageConfig(seconds=1, cpu_seconds=20, memory_mb=256)


@pytest.fixture(scope="module")
def held():
    """What holds on this machine; a test of what does not hold here is skipped with that reason."""
    return run_program("", LIMITS).protections


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A file that programs are out to harm, and a folder for temporary files of which nothing may stay."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    victim = tmp_path / "outside" / "victim"
    victim.write_text("precious")
    yield victim
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["victim"]
    assert victim.read_text() == "precious" and victim.stat().st_mode & 0o777 == 0o644
    assert list((tmp_path / "temporary").iterdir()) == []


def need(held, deed: str) -> None:
    if deed in gaps(held):
        pytest.skip(f"nothing on this machine keeps a program from {deed}")


def processes_with(mark: str) -> list[str]:
    listed = subprocess.run(["ps", "-Ao", "pid,args"], capture_output=True, text=True).stdout.splitlines()
    return [line for line in listed if mark in line]


def test_a_hundred_right_programs_pass_and_their_order_stays(place):
    programs = [
        f"def cube(base):\n    return base ** 3\n\nassert cube({number}) == {number**3}\nprint({number})"
        for number in range(100)
    ]
    results = list(run_programs(programs, LIMITS, workers=2))
    assert [result.verdict for result in results] == [Verdict.passed] * 100
    assert [result.output for result in results] == [f"{number}\n" for number in range(100)]


@pytest.mark.parametrize(
    "program",
    [
        "import dataclasses, pickle\n@dataclasses.dataclass\nclass A:\n    x: int\n"
        "assert pickle.loads(pickle.dumps(A(3))) == A(3)",
        "import threading\nt = threading.Thread(target=print); t.start(); t.join()",
        "import asyncio\nasync def f(): return 3\nassert asyncio.run(f()) == 3",
        "import os; open('a', 'w').write('x'); os.rename('a', 'b'); os.mkdir('c'); assert open('b').read() == 'x'",
        "import doctest, json, re, decimal, collections, sqlite3, hashlib, datetime, random, itertools, heapq, typing",
        "assert list({'a', 'b', 'c', 'd'}) == list({'a', 'b', 'c', 'd'})\nprint(hash('abc'))",
        "import os, sys; assert dict(os.environ) == {} and sys.argv == ['program.py'] and __name__ == '__main__'",
        "import tempfile; tempfile.TemporaryFile().write(b'x')",
    ],
    ids=["pickle", "thread", "asyncio", "files", "imports", "hash", "empty", "temporary"],
)
def test_what_ordinary_programs_do_works(program, place):
    result = run_program(program, LIMITS)
    assert result.passed, result


def test_the_order_of_sets_is_the_same_in_every_run():
    program = "print([hash(c) for c in 'abc'])"
    assert run_program(program, LIMITS).output == run_program(program, LIMITS).output != ""


FAILING = {
    "raises": ("assert 1 == 2", Verdict.failed, "raised an exception"),
    "syntax": ("def f(:", Verdict.failed, "raised an exception"),
    "os._exit": ("import os; os._exit(0)", Verdict.failed, "left before its end with status 0"),
    "sys.exit": ("import sys; sys.exit(0)", Verdict.failed, "left before its end"),
    "fakes": (
        "import os; print('passed', flush=True); os._exit(0)", Verdict.failed, "left before its end with status 0"
    ),
    "closes": ("import os; os.closerange(0, 1000)", Verdict.failed, "left before its end with status 1"),
    "input": ("input()", Verdict.failed, "raised an exception"),
    "stdout": (
        "import sys\nclass Fake:\n    def write(self, text): return 0\n    def flush(self): raise SystemExit(0)\n"
        "sys.stdout = sys.stderr = Fake()\nassert 0",
        Verdict.failed,
        "raised an exception",
    ),
    "allocates": ("x = bytearray(10 * 2**30)", Verdict.out_of_memory, "wanted more than 256 MiB"),
    "grows": ("x = []\nwhile True: x.append(bytearray(2**20))", Verdict.out_of_memory, "wanted more than 256 MiB"),
    "crashes": ("import ctypes; ctypes.string_at(0)", Verdict.killed, "ended by signal 11"),
    "prints": ("while True: print('x' * 1000)", Verdict.killed, "printed more than 256 KiB"),
    "huge file": ("f = open('f', 'wb')\nwhile True: f.write(bytes(2**20))", Verdict.failed, "raised an exception"),
    "raises limit": (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2**40, 2**40))",
        Verdict.failed,
        "raised an exception",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("program", "verdict", "detail"), FAILING.values(), ids=FAILING)
def test_programs_that_do_not_come_to_their_end_fail(program, verdict, detail, place):
    result = run_program(program, LIMITS)
    assert (result.verdict, result.detail) == (verdict, detail)
    assert len(result.output) <= 4000


@pytest.mark.parametrize(
    "program",
    [
        "while True: pass",
        "import time; time.sleep(600)",
        "import time\nwhile True:\n    try:\n        while True: time.sleep(1)\n    except BaseException: pass",
        "import signal\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n    except Exception: pass\n"
        "signal.alarm(1)\nwhile True: pass",
    ],
    ids=["loop", "sleep", "catches", "alarm"],
)
def test_programs_without_end_are_ended(program, place):
    result = run_program(program, BRIEF)
    assert (result.verdict, result.detail) == (Verdict.timed_out, "was not done after 1 s")


def test_processor_time_is_bounded_too():
    result = run_program("while True: pass", CageConfig(seconds=60, cpu_seconds=1))
    assert (result.verdict, result.detail) == (Verdict.timed_out, "used more than 1 s of processor time")


HARMFUL = {
    "remove": ("import os; os.remove({victim!r})", "changing your files"),
    "remove all": ("import shutil; shutil.rmtree({folder!r})", "changing your files"),
    "write": ("open({victim!r}, 'w').write('x')", "changing your files"),
    "new": ("open({folder!r} + '/new', 'w')", "changing your files"),
    "truncate": ("import os; os.truncate({victim!r}, 0)", "changing your files"),
    "mode": ("import os; os.chmod({victim!r}, 0)", "changing your files"),
    "rename": ("import os; os.rename({victim!r}, 'mine')", "changing your files"),
    "symlink": ("import os; os.symlink({victim!r}, 'mine'); open('mine', 'w').write('x')", "changing your files"),
    "link": ("import os; os.link({victim!r}, 'mine'); open('mine', 'w').write('x')", "changing your files"),
    "link to a folder": ("import os; os.symlink({folder!r}, 'mine'); os.chmod('.', 0); 1 / 0", "changing your files"),
    "read": ("open({victim!r}).read()", "reading your files"),
    "passwords": ("open('/etc/passwd').read()", "reading your files"),
    "parent": ("import os; print(open(f'/proc/{{os.getppid()}}/environ').read()); 1 / 0", "reading your files"),
    "socket": ("import socket; socket.create_connection(('127.0.0.1', {port}), 5)", "the network"),
    "many files": ("for i in range(99): open(str(i), 'wb').write(bytes(2**20))", "filling the disk"),
    "fork": ("import os; os.fork()", "starting processes"),
    "program": ("import subprocess; subprocess.run(['/bin/echo', 'hello'], check=True)", "starting processes"),
    "kill": ("import os; os.kill(os.getppid(), 9)", "starting processes"),
    "kill all": ("import os; os.kill(-1, 9)", "starting processes"),
}


@pytest.mark.parametrize(("program", "deed"), HARMFUL.values(), ids=HARMFUL)
def test_harm_is_refused(program, deed, place, held, monkeypatch):
    need(held, deed)
    monkeypatch.setenv("CAGE_TEST_SECRET", "s3cret")
    with socket.create_server(("127.0.0.1", 0)) as server:
        text = program.format(victim=str(place), folder=str(place.parent), port=server.getsockname()[1])
        result = run_program(text, LIMITS)
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert result.verdict is Verdict.failed
    assert "s3cret" not in result.output and "precious" not in result.output


@pytest.mark.skipif(sys.platform != "linux", reason="the layer that is left out is Linux's")
def test_what_is_left_in_a_folder_is_removed_and_its_links_are_not_followed(place, held):
    need(held, "changing your files")
    program = (
        f"import os; os.symlink({str(place.parent)!r}, 'link'); os.makedirs('a/b'); open('a/b/c', 'w').close()\n"
        f"os.symlink({str(place)!r}, 'a/link')"
    )
    assert run_program(program, LIMITS, ["namespaces"]).passed


def test_folders_that_nobody_may_open_are_removed_too(tmp_path):
    (tmp_path / "outside").mkdir(mode=0o750)
    closed = tmp_path / "left" / "closed" / "inner"
    closed.mkdir(parents=True)
    (closed / "link").symlink_to(tmp_path / "outside")
    closed.chmod(0)
    closed.parent.chmod(0)
    _remove(str(tmp_path / "left"))
    assert [path.name for path in tmp_path.iterdir()] == ["outside"]
    assert (tmp_path / "outside").stat().st_mode & 0o777 == 0o750


def test_a_fork_bomb_does_not_go_off(place, held):
    if "seccomp" not in held:
        pytest.skip("only the filter of system calls makes this safe to try")
    program = "import os\nwhile True:\n    try: os.fork()\n    except OSError as error: last = error; break\nraise last"
    result = run_program(program, LIMITS)
    assert result.verdict is Verdict.failed and "PermissionError" in result.output


LEAVES_CHILDREN = """
import ctypes, os, signal, time
def stay():
    os.setsid()
    for number in (1, 2, 15): signal.signal(number, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(15, b"{mark}", 0, 0, 0)
    time.sleep(600)
if os.fork() == 0:
    if os.fork() == 0: stay()
    stay()
time.sleep(0.2)
{end}
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the layers that are left out are Linux's")
@pytest.mark.parametrize("without", [["seccomp"], ["seccomp", "namespaces"]])
@pytest.mark.parametrize(("end", "verdict"), [("pass", Verdict.passed), ("time.sleep(600)", Verdict.timed_out)])
def test_children_with_sessions_of_their_own_are_gone_when_the_verdict_is_there(without, end, verdict, place):
    mark = f"cage{os.getpid() % 10**6}"
    result = run_program(LEAVES_CHILDREN.format(mark=mark, end=end), CageConfig(seconds=2), without)
    assert result.verdict is verdict
    listed = subprocess.run(["ps", "-Ao", "comm"], capture_output=True, text=True).stdout
    assert mark not in listed


@pytest.mark.skipif(sys.platform != "linux", reason="the layers that are left out are Linux's")
@pytest.mark.parametrize("without", [["landlock"], ["seccomp"], ["namespaces"], ["landlock", "seccomp"]])
def test_each_layer_keeps_files_without_the_others(without, place, held):
    need(held, "changing your files")
    if "namespaces" not in without and "own namespaces" not in held:
        pytest.skip("there are no namespaces on this machine")
    if "namespaces" in without and not any(name.startswith("landlock") for name in held):
        pytest.skip("there is no Landlock on this machine")
    for program in ("open({0!r}, 'w')", "import os; os.remove({0!r})", "import os; os.truncate({0!r}, 0)"):
        result = run_program(program.format(str(place)), LIMITS, without)
        assert result.verdict is Verdict.failed, result


@pytest.mark.skipif(sys.platform != "linux", reason="other systems end a session with its leader")
def test_when_the_caller_is_killed_its_programs_end(tmp_path):
    caller = (
        "from prospero.evaluation.cage.runner import run_program\n"
        "from prospero.evaluation.cage.limits import CageConfig\n"
        "run_program('import time; time.sleep(600)', CageConfig(seconds=600))"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen([sys.executable, "-c", caller], env=environment)
    until(lambda: any("program" in line for line in wardens(tmp_path)))
    process.kill()
    process.wait()
    until(lambda: not wardens(tmp_path))


def wardens(folder: Path) -> list[str]:
    """Processes of cages in `folder`, by where they stand."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and str((entry / "cwd").readlink()).startswith(str(folder / "prospero_cage_")):
                found.append(f"program {entry.name}")
        except OSError:
            continue
    return found


def until(holds) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_is_missing_is_said_in_words():
    assert gaps([]) == [
        "starting processes",
        "changing your files",
        "reading your files",
        "the network",
        "taking all memory",
        "filling the disk",
    ]
    assert gaps(["seccomp", "landlock 2", "RLIMIT_AS"]) == ["changing your files", "filling the disk"]


def test_a_cage_that_does_not_start_is_one_line(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(
        DataError, match=r"^The process that runs programs did not start or was killed: it said nothing$"
    ):
        run_program("", LIMITS)
