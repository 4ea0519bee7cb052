"""The process that runs one program: it shuts the program in, waits, and leaves nothing of it behind.

    caller  ->  warden  ->  first process of the namespaces  ->  the program
    (runner.py)  (this)      (everything ends with it)

The warden is a Python of its own, with an empty environment. The program is a fork of it: the interpreter starts once.
It ends when its program has, when the time is over, or when the caller closes its input (or dies).

**The secret.** A program passes when it comes to its end, and says so with a random secret that waits in a pipe until
then: leaving early, with whatever exit status or output, says nothing. The secret stands in no argument, no variable,
no file; a program that looks through its open files can find it, and docs/CODE_EXECUTION.md says so.
"""

import gc
import marshal
import os
import resource
import select
import signal
import sys
import time

from prospero.evaluation.cage import confinement

FILE_NAME = "program.py"
"""What tracebacks call the program."""
STATUS_PATIENCE = 5.0
"""Seconds that processes which were killed may take to be gone."""
MB = 1024 * 1024


def main() -> None:
    """Read a job (marshal) from standard input, run it, write the report (marshal) to standard error."""
    header = _exactly(0, 4)
    job = marshal.loads(_exactly(0, int.from_bytes(header, "little")))
    confinement.prctl(confinement.PR_SET_CHILD_SUBREAPER, 1)
    held = ["own namespaces"] if "namespaces" not in job["without"] and confinement.enter_namespaces() else []
    job["counted"] = 0 if held else _threads_of_this_user()
    report = _supervise(job, held)
    os.write(2, marshal.dumps(report))
    os._exit(0)


def _threads_of_this_user() -> int:
    """Return how many there are, which the kernel counts with the program's own outside of a namespace."""
    found = 0
    for name in os.listdir("/proc") if confinement.LINUX else ():
        try:
            if name.isdecimal() and os.stat(f"/proc/{name}").st_uid == os.getuid():
                found += len(os.listdir(f"/proc/{name}/task"))
        except OSError:
            continue  # it ended while the list was read
    return found


def _exactly(handle: int, size: int) -> bytes:
    parts = b""
    while len(parts) < size:
        part = os.read(handle, size - len(parts))
        if not part:
            os._exit(3)  # the caller is gone
        parts += part
    return parts


def _supervise(job: dict, held: list[str]) -> dict:
    answer_out, answer_in = os.pipe()
    status_out, status_in = os.pipe()
    secret_out, secret_in = os.pipe()
    os.write(secret_in, job["secret"])
    os.close(secret_in)
    first = os.fork()
    if first == 0:
        os.close(answer_out)
        os.close(status_out)
        _first_process(job, held, secret_out, answer_in, status_in)
    for handle in (answer_in, status_in, secret_out, 1):
        os.close(handle)
    ended = _wait(status_out, time.monotonic() + job["seconds"])
    status = os.read(status_out, 1024) if ended == "itself" else b""
    clean = _leave_none(first)
    os.set_blocking(answer_out, False)
    try:
        answer = os.read(answer_out, 65536)
    except BlockingIOError:
        answer = b""
    return {"ended": ended, "status": status, "answer": answer, "clean": clean}


def _wait(status: int, deadline: float) -> str:
    """Wait for the program's end, the deadline, or the caller's word to stop (the end of standard input)."""
    watched = select.poll()
    watched.register(status, select.POLLIN | select.POLLHUP)
    watched.register(0, select.POLLIN | select.POLLHUP)
    ready = [handle for handle, _ in watched.poll(max(0.0, deadline - time.monotonic()) * 1000)]
    if status in ready:
        return "itself"
    return "stopped" if ready else "time"


def _leave_none(first: int) -> bool:
    """Kill the first process, with which its namespace dies, and every orphan that came to this one; False: some stay.

    Without a namespace the orphans of the dead come to the warden, their subreaper, so it kills what it has got until
    there is nothing left to get.
    """
    deadline = time.monotonic() + STATUS_PATIENCE
    targets = {first}
    while time.monotonic() < deadline:
        for pid in targets:
            _kill(os.kill, pid)
            _kill(os.killpg, pid)
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            targets.discard(pid)
            if pid == 0:
                break
        targets = _children() or targets
        time.sleep(0.001)
    return False


def _kill(by, pid: int) -> None:
    try:
        by(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return  # gone, or no group of its own


def _children() -> set[int]:
    """Return the processes whose parent is this one, where the system lists them."""
    found = set()
    me = str(os.getpid())
    for name in os.listdir("/proc") if confinement.LINUX else ():
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    parent = file.read().rpartition(b")")[2].split()[1].decode()
            except OSError:
                continue  # it ended while the list was read
            if parent == me:
                found.add(int(name))
    return found


def _first_process(job: dict, held: list[str], secret: int, answer: int, status: int) -> None:
    """Run the program in a process below this one; pass its exit status and its use on. Never returns."""
    confinement.prctl(confinement.PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()  # a group by which it and the program can be killed where there is no subreaper
    program = os.fork()
    if program == 0:
        os.close(status)
        _become_the_program(job, held, secret, answer)
    for handle in (0, 1, secret, answer):
        os.close(handle)
    while True:
        pid, code, used = os.wait4(-1, 0)
        if pid == program:
            os.write(status, marshal.dumps((code, used.ru_utime + used.ru_stime)))
            os._exit(0)


def _become_the_program(job: dict, held: list[str], secret: int, answer: int) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(1, 2)  # both streams in one, in the order they were written
    os.close(null)
    held = [*held, *_confine(job, "own namespaces" in held)]
    told = marshal.dumps(held)
    os.write(answer, len(told).to_bytes(4, "little") + told)
    _run(job["program"], secret, answer)


def _confine(job: dict, apart: bool) -> list[str]:
    """Shut this process in, for good; return what holds."""
    held, without = [], job["without"]
    read_only, bounded = confinement.close_mounts(job["folder"], job["file_mb"] * MB) if apart else (False, False)
    os.chdir(job["folder"])
    os.environ.clear()
    if read_only:
        held.append("read-only files")
    if bounded:
        held.append("bounded disk")
    if confinement.drop_capabilities():
        held.append("no capabilities")
    held += _limits(job)
    version = 0 if "landlock" in without else confinement.landlock(job["folder"], job["readable"])
    if version:
        held.append(f"landlock {version}")
    if "seccomp" not in without and confinement.seccomp(keep_attributes=not read_only):
        held.append("seccomp")
    return held


def _limits(job: dict) -> list[str]:
    bounds = {
        "RLIMIT_CORE": 0,
        "RLIMIT_CPU": job["cpu_seconds"],
        "RLIMIT_FSIZE": job["file_mb"] * MB,
        "RLIMIT_NOFILE": job["open_files"],
        "RLIMIT_NPROC": job["threads"] + job["counted"]
        if confinement.LINUX
        else 1,  # elsewhere threads are not counted
        "RLIMIT_AS": job["memory_mb"] * MB,
    }
    held = []
    for name, value in bounds.items():
        number = getattr(resource, name)
        hard = resource.getrlimit(number)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(number, (value, value))
        except (ValueError, OSError):  # macOS takes no bound of the address space
            continue
        held.append(name)
    if os.geteuid() == 0:
        held.remove("RLIMIT_NPROC")  # the kernel does not count the processes of root
    return held


def _run(text: str, secret: int, answer: int) -> None:
    """Run the program as `__main__`; what happens to it is told through `answer`. Never returns."""
    read, write, leave, flush = os.read, os.write, os._exit, sys.stdout.flush  # the program may put others in place
    main_module = type(sys)("__main__")
    sys.modules["__main__"] = main_module
    for name in [name for name in sys.modules if name.startswith("prospero")]:
        del sys.modules[name]
    sys.argv = [FILE_NAME]
    gc.freeze()  # objects of the cage are not listed to the program
    try:
        try:
            exec(compile(text, FILE_NAME, "exec", dont_inherit=True), main_module.__dict__)
            flush()
        except MemoryError:
            write(answer, b"memory")
        except SystemExit:
            write(answer, b"exit")
        except BaseException:
            write(answer, b"raised")
            _print_error(text)
        else:
            write(answer, read(secret, 64))
            leave(0)
    finally:
        leave(1)


def _print_error(text: str) -> None:
    """Print the traceback as Python does, without the frames of the cage, if the program has left that possible."""
    try:
        import linecache
        import traceback

        linecache.cache[FILE_NAME] = (len(text), None, text.splitlines(keepends=True), FILE_NAME)
        kind, error, place = sys.exc_info()
        lines = traceback.format_exception(kind, error, place.tb_next if place else None)
        sys.stdout.flush()
        os.write(2, "".join(lines).encode("utf-8", "replace")[-4000:])
    except BaseException:  # the program may have broken any of these; it has failed either way
        return
