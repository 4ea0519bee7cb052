"""Starts programs for tests, as `subprocess.run` and `subprocess.Popen` do, in a twentieth of the time to begin.

Each is a process of its own, a copy of one that has done the imports (tests/zygote.py): two thirds of what a short run
costs. Where that would not be the same as a fresh Python, it is one: see `can_be_copied`. A test of the start itself
(what is imported, what is read from the environment at import, another interpreter) uses `subprocess`.
"""

import atexit
import ctypes
import inspect
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch

ZYGOTE = Path(__file__).with_name("zygote.py")
READ_LATE = (
    *("PROSPERO_", "PYTEST_", "SLURM_", "PYTHONPATH", "PYTHONUNBUFFERED"),
    *("RANK", "WORLD_SIZE", "LOCAL_", "GROUP_RANK", "NODE_", "MASTER_", "TORCHELASTIC_"),
    # What programs, and libraries at their import, set in the process of the tests itself; a copy imports them too.
    *("HYDRA_FULL_ERROR", "TORCHINDUCTOR_CACHE_DIR", "TOKENIZERS_PARALLELISM", "GLOO_", "PL_", "HF_XET_", "KMP_"),
    "PYTORCH_NVML_BASED_CUDA_CHECK",
)
"""Beginnings of the variables that nothing reads while it is imported (Lightning's rank is set anew in a copy)."""
PR_SET_CHILD_SUBREAPER = 36
DEFAULTS = {"executable": None, "preexec_fn": None, "close_fds": True, "pass_fds": (), "shell": False}
DEFAULTS |= {"restore_signals": True, "gid": None, "gids": None, "uid": None, "umask": -1, "process_group": -1}


class Program(subprocess.Popen):
    """A started program; everything else is Popen's, down to waiting for a child of this process."""

    def _execute_child(self, *given: Any) -> None:
        asked = inspect.signature(subprocess.Popen._execute_child).bind(self, *given).arguments
        words = [os.fspath(word) for word in asked["args"]]
        environment = dict(os.environ if asked["env"] is None else asked["env"])
        plain = all(asked[name] == value for name, value in DEFAULTS.items() if name in asked)
        if not plain or not can_be_copied(words, environment):
            super()._execute_child(*given)
            return
        ends = [asked["p2cread"], asked["c2pwrite"], asked["errwrite"]]
        request = {
            "arguments": words[1:], "environment": environment, "folder": os.path.abspath(asked["cwd"] or os.curdir),
            "new_session": asked["start_new_session"],
        }  # fmt: skip
        streams = [number if end == -1 else end for number, end in enumerate(ends)]
        self.pid = _Zygote.started().copy(request, streams)
        self._child_created = True
        ours = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(asked[name] for name in ours))


def run(words: list[str], *, timeout: float | None = None, check: bool = False, **options: Any):
    """`subprocess.run`, without `input`."""
    if options.pop("capture_output", False):
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with Program(words, **options) as program:
        try:
            said, errors = program.communicate(timeout=timeout)
        except BaseException:
            program.kill()
            raise
    done = subprocess.CompletedProcess(words, program.returncode, said, errors)
    if check:
        done.check_returncode()
    return done


def can_be_copied(words: list[str], environment: dict[str, str]) -> bool:
    """Whether a copy is the same as a start: this Python, a script or -c, Linux, no GPU, nothing else read early."""
    return (
        os.environ.get("PROSPERO_TEST_COPIES") != "0"
        and words[0] == sys.executable
        and (words[1].endswith(".py") or words[1] == "-c")
        and sys.platform == "linux"
        and not torch.cuda.is_available()
        and environment.get("OMP_NUM_THREADS") == "1"  # else libraries start threads at their import
        and _early(environment) == _Zygote.environment
    )


def _early(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith(READ_LATE)}


def begin() -> None:
    """Remember the environment before a test changes it: programs that it starts with that one can be copies."""
    _Zygote.environment = _early(os.environ)


class _Zygote:
    """The one process that is copied, started for the first program, ended when this process ends."""

    running: "_Zygote | None" = None
    environment: ClassVar[dict[str, str]] = {}
    """What may be read while modules are imported."""

    def __init__(self) -> None:
        self.asked, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            kept = {name: os.environ[name] for name in ("PYTHONPATH", "PYTHONUNBUFFERED") if name in os.environ}
            words = [sys.executable, str(ZYGOTE), str(theirs.fileno())]
            self.process = subprocess.Popen(
                words, env=self.environment | kept, pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip
        assert self.asked.recv(100) == b"ready", "the process that is copied has not begun; see standard error"
        atexit.register(self.end)

    @classmethod
    def started(cls) -> "_Zygote":
        if cls.running is None:
            cls.running = cls()
        return cls.running

    def copy(self, request: dict[str, Any], streams: list[int]) -> int:
        """Return the pid of a copy, a child of this process: its parent ends at once, and this one inherits it."""
        process = ctypes.CDLL(None, use_errno=True)
        process.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        try:
            socket.send_fds(self.asked, [json.dumps(request).encode()], streams)
            pid = int(self.asked.recv(100))
            assert self.asked.recv(100) == b"ready"
        finally:
            process.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        return pid

    def end(self) -> None:
        self.asked.close()
        self.process.wait()
