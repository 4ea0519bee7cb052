"""Programs in, verdicts out: one process of its own for each, several at a time."""

import contextlib
import marshal
import os
import secrets
import selectors
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from prospero.errors import DataError
from prospero.evaluation.cage.limits import CageConfig

GRACE = 15.0
"""Seconds beyond its own limit after which the warden is taken for stuck, and killed."""
TAIL_BYTES = 4000
"""How much of the end of what was printed a result keeps."""
_START = """\
import sys
ours = sys.modules["prospero"] = type(sys)("prospero")
ours.__path__ = [{package!r}]
from prospero.evaluation.cage import warden
warden.main()
"""
"""How the warden starts: without what `import prospero` itself brings (typing, a quarter of the time)."""
_TO_START = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
"""What some Pythons cannot start without; the warden knows it, the program does not."""
_SYSTEM = [
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo"),
    *("/etc/localtime", "/dev/urandom", "/dev/zero"),
]
"""What a Python reads beside its own folders."""


_NEEDS = {
    "starting processes": {"seccomp", "RLIMIT_NPROC"},
    "changing your files": {"read-only files", *(f"landlock {version}" for version in range(3, 100))},
    "reading your files": {f"landlock {version}" for version in range(1, 100)},
    "the network": {"own namespaces", "seccomp"},
    "taking all memory": {"RLIMIT_AS"},
    "filling the disk": {"bounded disk"},
}
"""What a program should be kept from -> what holds it, any of them."""


class Verdict(Enum):
    """How a program ended."""

    passed = "passed"
    failed = "failed"
    timed_out = "timed out"
    out_of_memory = "out of memory"
    killed = "killed"


@dataclass(frozen=True, slots=True)
class CageResult:
    """What came of one program."""

    verdict: Verdict
    detail: str
    """Why it did not pass, in a few words."""
    output: str
    """The end of what it printed, both streams in one."""
    protections: tuple[str, ...]
    """What held while it ran: see docs/CODE_EXECUTION.md."""

    @property
    def passed(self) -> bool:
        """Whether it came to its end."""
        return self.verdict is Verdict.passed


def gaps(protections: Sequence[str]) -> list[str]:
    """Return what nothing keeps a program from on this machine, in words."""
    return [deed for deed, needed in _NEEDS.items() if not needed & set(protections)]


def run_program(program: str, limits: CageConfig, without: Sequence[str] = ()) -> CageResult:
    """Run the text of a Python program in the cage and say how it ended.

    `without` leaves out `namespaces`, `landlock` or `seccomp`, to see that the others hold by themselves.
    """
    folder = tempfile.mkdtemp(prefix="prospero_cage_")
    try:
        return _run_in(folder, program, limits, list(without))
    finally:
        _remove(folder)


def run_programs(programs: Sequence[str], limits: CageConfig, workers: int | None = None) -> Iterator[CageResult]:
    """Yield the result of each program, in their order; `workers` run at a time (None: one a core)."""
    pool = ThreadPoolExecutor(workers or max(1, len(_cores())))
    try:
        yield from pool.map(lambda program: run_program(program, limits), programs)
    finally:
        pool.shutdown(cancel_futures=True)


def _cores() -> Sequence[int]:
    return sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else range(os.cpu_count() or 1)


def _run_in(folder: str, program: str, limits: CageConfig, without: list[str]) -> CageResult:
    secret = secrets.token_hex(16).encode()
    job = {
        "program": program,
        "secret": secret,
        "folder": folder,
        "readable": _readable(),
        "without": without,
        **{name: getattr(limits, name) for name in CageConfig.__slots__},
    }
    package = str(Path(__file__).resolve().parents[2])
    process = subprocess.Popen(
        [sys.executable, "-s", "-S", "-P", "-c", _START.format(package=package)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PYTHONHASHSEED": "0", "PYTHONUTF8": "1", **_TO_START},
        cwd=folder,
        start_new_session=True,
    )
    try:
        output, report, flooded = _talk(process, marshal.dumps(job), limits)
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None and not stream.closed:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
    return _judge(output, _report(report), secret, flooded, limits)


def _talk(process: subprocess.Popen[bytes], job: bytes, limits: CageConfig) -> tuple[bytes, bytes, bool]:
    """Hand the job over, read both streams to their ends; return the end of the output, the report, and whether the
    program printed more than it may (it is stopped then, and the rest is read and dropped)."""
    assert process.stdin and process.stdout and process.stderr
    with contextlib.suppress(BrokenPipeError):  # a warden that is gone has left no report, which is said then
        process.stdin.write(len(job).to_bytes(4, "little") + job)
        process.stdin.flush()
    tail, report, printed, flooded = b"", b"", 0, False
    deadline = time.monotonic() + limits.seconds + GRACE
    with selectors.DefaultSelector() as ready:
        ready.register(process.stdout, selectors.EVENT_READ)
        ready.register(process.stderr, selectors.EVENT_READ)
        while ready.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _ in ready.select(left):
                part = os.read(key.fd, 65536)
                if not part:
                    ready.unregister(key.fileobj)
                elif key.fileobj is process.stderr:
                    report += part
                else:
                    printed += len(part)
                    tail = (tail + part)[-TAIL_BYTES:]
            if printed > limits.output_kb * 1024 and not flooded:
                flooded = True
                process.stdin.close()  # the warden's word to stop
    return tail, report, flooded


def _report(text: bytes) -> dict:
    try:
        report = marshal.loads(text)
    except (EOFError, ValueError, TypeError):
        report = None
    if not isinstance(report, dict):
        tail = text.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise DataError(f"The process that runs programs did not start or was killed: {tail[0]}")
    return report


def _judge(output: bytes, report: dict, secret: bytes, flooded: bool, limits: CageConfig) -> CageResult:
    held, said = _split(report["answer"])
    verdict, detail = _verdict(report, said, secret, limits)
    if flooded and verdict is not Verdict.passed:
        verdict, detail = Verdict.killed, f"printed more than {limits.output_kb} KiB"
    if not report["clean"]:
        verdict, detail = Verdict.killed, "left processes that could not be ended"
    return CageResult(verdict, detail, output.decode("utf-8", "replace"), tuple(held))


def _split(answer: bytes) -> tuple[list[str], bytes]:
    """Return what held, which was told before the program began, and what was told after."""
    end = 4 + int.from_bytes(answer[:4], "little")
    return (marshal.loads(answer[4:end]), answer[end:]) if answer else ([], b"")


def _verdict(report: dict, said: bytes, secret: bytes, limits: CageConfig) -> tuple[Verdict, str]:
    if report["ended"] == "time":
        return Verdict.timed_out, f"was not done after {limits.seconds:g} s"
    if report["ended"] == "stopped" or not report["status"]:
        return Verdict.killed, "was stopped"
    status, cpu_seconds = marshal.loads(report["status"])
    if secrets.compare_digest(said, secret) and status == 0:
        return Verdict.passed, ""
    if said == b"memory":
        return Verdict.out_of_memory, f"wanted more than {limits.memory_mb} MiB"
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number in (9, 24) and cpu_seconds >= limits.cpu_seconds - 0.5:
            return Verdict.timed_out, f"used more than {limits.cpu_seconds} s of processor time"
        return Verdict.killed, f"ended by signal {number}"
    if said == b"raised":
        return Verdict.failed, "raised an exception"
    return Verdict.failed, "left before its end" + ("" if said == b"exit" else f" with status {os.WEXITSTATUS(status)}")


def _readable() -> list[str]:
    paths = sysconfig.get_paths()
    own = {paths["stdlib"], paths["platstdlib"], sysconfig.get_config_var("LIBDIR") or paths["stdlib"]}
    libraries = Path(sys.base_prefix) / "lib"
    return sorted({*own, str(libraries), *_SYSTEM} - {"/"})


def _remove(folder: str) -> None:
    """Remove a folder of a dead program, whatever modes it has left; links are not followed."""

    def open_up(place: str) -> None:
        os.chmod(place, 0o700)
        with os.scandir(place) as entries:
            folders = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        for inner in folders:
            open_up(inner)

    open_up(folder)
    shutil.rmtree(folder)
