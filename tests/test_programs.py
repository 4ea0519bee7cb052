"""A program begun as a copy is what a fresh Python is: compared with one, and by what it must do."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests import programs
from tests.programs import Program

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Python is always started here"),
]
ROOT = Path(__file__).parents[1]
SEEN = """
import logging, multiprocessing, os, random, signal, sys, threading
import prospero.training.assembly, numpy, torch
from lightning.fabric.utilities.rank_zero import rank_zero_only

streams = {name: getattr(sys, name) for name in ("stdin", "stdout", "stderr")}
main = sys.modules["__main__"]
seen = {
    "main": [__name__, __spec__, vars(main) is globals(), type(__loader__).__name__, sorted(globals())],
    "file": globals().get("__file__"), "argv": sys.argv, "orig_argv": sys.orig_argv, "path": sys.path,
    "environment": {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"},
    "folder": os.getcwd(), "read": sys.stdin.read(),
    "streams": [
        (s.encoding, s.errors, s.mode, s.name, s.line_buffering, s.write_through, s.isatty(), s.newlines, s.fileno())
        for s in streams.values()
    ],
    "same streams": [getattr(sys, f"__{name}__") is stream for name, stream in streams.items()],
    "descriptors": sorted(set(os.listdir("/proc/self/fd")) - {str(os.dup(0))}, key=int)[:4],
    "signals": {int(n): repr(signal.getsignal(n)).partition(" at ")[0] for n in signal.valid_signals()},
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "family": [os.getppid(), os.getpgid(0) == os.getpid(), os.getsid(0) == os.getpid(), os.getsid(os.getppid())],
    "threads": [threading.active_count(), threading.current_thread() is threading.main_thread()],
    "hooks": [sys.excepthook is sys.__excepthook__, sys.gettrace(), sys.flags, os.umask(0o22), sys.dont_write_bytecode],
    "torch": [torch.get_num_threads(), torch.get_num_interop_threads(), str(torch.get_default_dtype())],
    "rank": [rank_zero_only.rank, torch.distributed.is_initialized()],
    "logging": [(log.level, len(log.handlers)) for log in (logging.getLogger(), logging.getLogger("prospero"))],
    "multiprocessing": [multiprocessing.parent_process(), multiprocessing.current_process().name],
    "nice": [os.nice(0), sys.getrecursionlimit(), sys.getswitchinterval()],
}
import json
print(json.dumps(seen, default=str))
drawn = random.random(), numpy.random.rand(), float(torch.rand(1)), torch.initial_seed()
print(*drawn, file=sys.stderr)
"""


@pytest.mark.parametrize("given", ["a script", "-c"])
def test_what_a_program_sees_is_what_a_fresh_python_shows(tmp_path, given):
    (tmp_path / "seen.py").write_text(SEEN)
    (tmp_path / "text").write_text("read me")
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "RANK": "1",
        "PROSPERO_X": "y",
        "PYTHONPATH": f"{ROOT / 'src'}",
    }
    words = [sys.executable, *(["seen.py"] if given == "a script" else ["-c", SEEN]), "one", "two words"]
    found = []
    for start in (programs.run, programs.run, subprocess.run):
        with open(tmp_path / "text") as text:
            done = start(words, stdin=text, capture_output=True, text=True, cwd=tmp_path, env=environment, check=True)
        found.append((json.loads(done.stdout), done.stderr))
    (copy, drawn), (_, drawn_again), (fresh, _) = found
    assert copy == fresh and fresh["rank"][0] == 1 and fresh["read"] == "read me" and fresh["family"][0] == os.getpid()
    assert set(drawn.split()).isdisjoint(drawn_again.split()), "what Python, NumPy and torch draw by chance"


@pytest.fixture(autouse=True)
def _copies(request):
    if request.function is not test_the_environment_of_these_tests_allows_copies and not allowed():
        pytest.skip("programs are fresh Pythons here: see programs.can_be_copied")


def allowed() -> bool:
    return programs.can_be_copied([sys.executable, "x.py"], dict(os.environ))


def test_the_environment_of_these_tests_allows_copies():
    """Or all programs of the suite are fresh Pythons, and nobody sees why it is slow."""
    asked = os.environ.get("PROSPERO_TEST_COPIES") != "0" and os.environ.get("OMP_NUM_THREADS") == "1"
    allowed = programs.can_be_copied([sys.executable, "x.py"], dict(os.environ))
    assert allowed or not asked
    done = run("import sys; print({'torch', 'lightning.pytorch', 'prospero.training.module'} <= sys.modules.keys())")
    assert done.stdout == f"{allowed}\n"


@pytest.mark.parametrize(
    ("words", "environment"),
    [
        (["/usr/bin/python3", "x.py"], {}), (["x.py"], {"OMP_NUM_THREADS": "2"}), (["x.py"], {"HF_HOME": "/x"}),
        (["-m", "prospero"], {}), (["-u", "x.py"], {}), (["x.py"], {"PYTHONHASHSEED": "1"}),
    ],
)  # fmt: skip
def test_what_is_read_early_takes_a_fresh_python(words, environment):
    words = words if words[0].startswith("/") else [sys.executable, *words]
    assert not programs.can_be_copied(words, {**os.environ, "OMP_NUM_THREADS": "1", **environment})


def run(code: str, **options):
    command = [sys.executable, "-c", textwrap.dedent(code)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **options.pop("variables", {})}
    return programs.run(command, capture_output=True, text=True, env=environment, **options)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("pass", 0), ("import sys; sys.exit(3)", 3), ("import sys; sys.exit('no')", 1), ("1 / 0", 1), ("f(:", 1),
        ("import os; os._exit(4)", 4), ("import os; os.kill(os.getpid(), 9)", -9), ("import os; os.abort()", -6),
        ("import os, time; os.kill(os.getpid(), 2); time.sleep(9)", -2),
        ("import threading, time; threading.Thread(target=time.sleep, args=(0.1,)).start()", 0),
    ],
)  # fmt: skip
def test_it_ends_as_python_ends(code, expected):
    atexit = "import atexit, sys\natexit.register(lambda: print('left', end=''))\n"
    done = run(code if code == "f(:" else atexit + code)
    assert done.returncode == expected, done.stderr
    assert done.stdout == ("" if expected in (4, -9, -6) or code == "f(:" else "left")
    errors = {"1 / 0": "ZeroDivisionError", "f(:": "SyntaxError"} | (
        {code: "KeyboardInterrupt"} if "2)" in code else {}
    )
    assert errors[code] in done.stderr if code in errors else done.stderr in ("", "no\n")


def test_it_is_a_process_of_its_own_that_signals_and_kills_reach():
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for number, alone in (
        (signal.SIGTERM, False),
        (signal.SIGKILL, False),
        (signal.SIGKILL, True),
        (signal.SIGINT, True),
    ):
        program = Program(
            [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=alone,
        )  # fmt: skip
        assert program.stdout is not None and int(program.stdout.readline()) == program.pid
        assert os.getpgid(program.pid) == (program.pid if alone else os.getpgid(0)) and program.poll() is None
        if alone:
            os.killpg(program.pid, number)
        else:
            program.send_signal(number)
        assert program.wait(60) == -number
        program.communicate()


def test_unbuffered_output_comes_at_once_and_other_output_at_the_end():
    code = "import os; print('a', end=''); os.write(1, b'b'); print('c')"
    assert run(code, variables={"PYTHONUNBUFFERED": "1"}).stdout == "abc\n"
    assert run(code, variables={"PYTHONUNBUFFERED": ""}).stdout == "bac\n"


def test_nothing_stays_open_and_nothing_of_one_reaches_the_next(tmp_path):
    run("pass")
    before = sorted(os.listdir("/proc/self/fd"))
    for _ in range(3):
        done = run(
            "import os, sys, builtins, torch\n"
            "assert 'LEFT' not in os.environ and not hasattr(builtins, 'left') and os.getcwd() != '/'\n"
            "os.environ['LEFT'] = builtins.left = 'x'; os.chdir('/'); torch.manual_seed(3); torch.set_num_threads(2)\n"
            "torch.ones(999, 999) @ torch.ones(999, 999)\n",
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_a_module_that_would_be_another_is_refused(tmp_path):
    (tmp_path / "tqdm.py").write_text("")
    done = run("pass", variables={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1 and "start this program by subprocess" in done.stderr


def test_a_started_program_is_a_child_until_it_is_waited_for():
    program = Program([sys.executable, "-c", "pass"], env={**os.environ, "OMP_NUM_THREADS": "1"})
    end = time.monotonic() + 60
    while program.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    assert program.returncode == 0
    with pytest.raises(ChildProcessError):
        os.waitpid(program.pid, 0)
