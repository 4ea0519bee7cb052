"""What the Linux kernel offers a process without privileges to shut itself in: namespaces, Landlock, seccomp.

Each function tries one thing and returns whether it holds; none of them can be undone. The numbers are the kernel's own
(linux/landlock.h, linux/seccomp.h, linux/sched.h), called through ctypes because Python's library has no names for
them. Imported by the warden, whose start must be quick: beside ctypes nothing is imported that takes time.
"""

import contextlib
import ctypes
import errno
import os
import sys

LINUX = sys.platform == "linux"
_libc = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 22, 36, 38
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
CLONE_THREAD = 0x00010000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 0x4000, 0x40000
AT_RECURSIVE, MOUNT_ATTR_RDONLY, AT_FDCWD = 0x8000, 1, -100
SYS_MOUNT_SETATTR, SYS_CREATE_RULESET, SYS_ADD_RULE, SYS_RESTRICT_SELF = 442, 444, 445, 446  # alike on all machines


def prctl(option: int, value: int) -> bool:
    """Set an attribute of this process; False where the system does not know it."""
    return LINUX and _libc.prctl(option, ctypes.c_ulong(value), *(ctypes.c_ulong(0),) * 3) == 0


def _syscall(number: int, *values: object) -> int:
    # variadic C function: every integer as wide as a register, or the upper halves are whatever was there
    return _libc.syscall(
        ctypes.c_long(number), *(ctypes.c_long(value) if isinstance(value, int) else value for value in values)
    )


def enter_namespaces() -> bool:
    """Leave the machine's mounts, processes, network and shared memory: what forks from here on sees its own alone."""
    if not LINUX:
        return False
    uid, gid = os.geteuid(), os.getegid()
    apart = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS
    if _libc.unshare(CLONE_NEWUSER | apart) == 0:
        with contextlib.suppress(
            PermissionError
        ):  # some kernels give namespaces and no rights in them: mounts fail then
            for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
                with open(f"/proc/self/{name}", "w") as file:
                    file.write(text)
        return True
    return _libc.unshare(apart) == 0  # root, where namespaces of users are switched off


def close_mounts(folder: str, size_bytes: int) -> tuple[bool, bool]:
    """In a mount namespace: make all files read-only, `folder` a disk of its own of `size_bytes`, and hide /proc.

    Returns whether files are read-only, and whether the disk is bounded.
    """
    private = _mount(None, "/", None, MS_REC | MS_PRIVATE)
    attributes = (ctypes.c_uint64 * 4)(MOUNT_ATTR_RDONLY, 0, 0, 0)
    closed = private and (
        _syscall(SYS_MOUNT_SETATTR, AT_FDCWD, b"/", AT_RECURSIVE, ctypes.byref(attributes), ctypes.sizeof(attributes))
        == 0
    )
    if not closed:
        return False, False
    apart = MS_NOSUID | MS_NODEV | MS_NOEXEC
    bounded = _mount("tmpfs", folder, f"size={size_bytes},nr_inodes=4096,mode=700", apart)
    hidden = _mount("tmpfs", "/proc", "size=4096,mode=555", apart | MS_RDONLY)
    return bounded and hidden, bounded


def _mount(kind: str | None, target: str, options: str | None, flags: int) -> bool:
    words = [None if word is None else os.fsencode(word) for word in (kind, target, kind, options)]
    return _libc.mount(*words[:3], ctypes.c_ulong(flags), words[3]) == 0


READ = (1 << 2) | (1 << 3)  # files, folders
WRITE = sum(1 << bit for bit in (1, 4, 5, 7, 8, 10, 12, 13, 14))  # write, remove, make folder, file, fifo, link; refer
FILE_ONLY = (1 << 1) | (1 << 2) | (1 << 14)
RIGHTS_BY_ABI = {1: 13, 2: 14, 3: 15, 4: 15}  # version of Landlock -> how many rights over files it knows; then 16


class _PathRule(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


def landlock(folder: str, readable: list[str]) -> int:
    """Allow writing in `folder` only, reading below `readable` too, no program to be started, no TCP, no signal out.

    Returns the version of Landlock that holds it, 0 for none: 3 also refuses to cut a file short, 4 knows TCP, 6
    signals and abstract sockets.
    """
    version = _syscall(SYS_CREATE_RULESET, None, 0, 1) if LINUX else 0
    if version < 1 or not prctl(PR_SET_NO_NEW_PRIVS, 1):
        return 0
    handled = (1 << RIGHTS_BY_ABI.get(version, 16)) - 1
    attributes = (ctypes.c_uint64 * 3)(handled, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 8 * (1 if version < 4 else 2 if version < 6 else 3)
    ruleset = _syscall(SYS_CREATE_RULESET, ctypes.byref(attributes), size, 0)
    if ruleset < 0:
        return 0
    try:
        _allow(ruleset, folder, (READ | WRITE) & handled)
        _allow(ruleset, "/dev/null", FILE_ONLY & handled)
        for path in readable:
            if os.path.exists(path):
                _allow(ruleset, path, READ if os.path.isdir(path) else READ & FILE_ONLY)
        return version if _syscall(SYS_RESTRICT_SELF, ruleset, 0) == 0 else 0
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = _PathRule(rights, place)
        if _syscall(SYS_ADD_RULE, ruleset, 1, ctypes.byref(rule), 0) != 0:
            raise OSError(ctypes.get_errno(), f"Landlock takes no rule for {path}")
    finally:
        os.close(place)


def drop_capabilities() -> bool:
    """Give up whatever the process may do beyond its user's rights."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    return LINUX and _libc.capset(ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)())) == 0


# Calls by machine. First those that start or reach other processes, the network, the kernel's deeper parts, or memory
# that no limit counts; `own`: allowed with the caller's own number; `attributes`: change a file without writing to it.
_X86 = {
    "denied": {
        "fork": 57, "vfork": 58, "execve": 59, "execveat": 322, "socket": 41, "ptrace": 101, "process_vm_readv": 310,
        "process_vm_writev": 311, "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "unshare": 272,
        "setns": 308, "keyctl": 250, "add_key": 248, "request_key": 249, "bpf": 321, "perf_event_open": 298,
        "userfaultfd": 323, "rt_sigqueueinfo": 129, "rt_tgsigqueueinfo": 297, "pidfd_open": 434,
        "pidfd_send_signal": 424, "memfd_create": 319, "shmget": 29, "msgget": 68, "io_uring_setup": 425, "setsid": 112,
        "setpriority": 141, "mq_open": 240, "open_by_handle_at": 304, "memfd_secret": 447,
    },
    "own": {"kill": 62, "tkill": 200, "tgkill": 234, "prlimit64": 302},
    "attributes": {
        "chmod": 90, "fchmod": 91, "fchmodat": 268, "fchmodat2": 452, "chown": 92, "fchown": 93, "lchown": 94,
        "fchownat": 260, "utime": 132, "utimes": 235, "futimesat": 261, "utimensat": 280, "setxattr": 188,
        "lsetxattr": 189, "fsetxattr": 190, "removexattr": 197, "lremovexattr": 198, "fremovexattr": 199,
    },
    "clone": 56,
}  # fmt: skip
_ARM = {
    "denied": {
        "execve": 221, "execveat": 281, "socket": 198, "ptrace": 117, "process_vm_readv": 270,
        "process_vm_writev": 271, "mount": 40, "umount2": 39, "pivot_root": 41, "chroot": 51, "unshare": 97,
        "setns": 268, "keyctl": 219, "add_key": 217, "request_key": 218, "bpf": 280, "perf_event_open": 241,
        "userfaultfd": 282, "rt_sigqueueinfo": 138, "rt_tgsigqueueinfo": 240, "pidfd_open": 434,
        "pidfd_send_signal": 424, "memfd_create": 279, "shmget": 194, "msgget": 186, "io_uring_setup": 425,
        "setsid": 157, "setpriority": 140, "mq_open": 180, "open_by_handle_at": 265, "memfd_secret": 447,
    },
    "own": {"kill": 129, "tkill": 130, "tgkill": 131, "prlimit64": 261},
    "attributes": {
        "fchmod": 52, "fchmodat": 53, "fchmodat2": 452, "fchown": 55, "fchownat": 54, "utimensat": 88, "setxattr": 5,
        "lsetxattr": 6, "fsetxattr": 7, "removexattr": 14, "lremovexattr": 15, "fremovexattr": 16,
    },
    "clone": 220,
}  # fmt: skip
_MACHINES = {"x86_64": (0xC000003E, _X86), "aarch64": (0xC00000B7, _ARM)}
CLONE3, X32 = 435, 0x40000000
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST = 0, 4, 16  # places in struct seccomp_data; _FIRST: the low half of the first argument


class _Instruction(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("value", ctypes.c_uint32)]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction))]


def seccomp(*, keep_attributes: bool) -> bool:
    """Refuse (EPERM) new processes, programs, sockets, signals to others, and the kernel's deeper parts.

    With `keep_attributes` modes, owners and times of files cannot be changed either: for where files are not read-only.
    """
    machine = os.uname().machine
    if not LINUX or machine not in _MACHINES or not prctl(PR_SET_NO_NEW_PRIVS, 1):
        return False
    if sys.maxsize < 2**32:
        return False  # a 32-bit program on a 64-bit kernel makes other calls
    lines = [_Instruction(*line) for line in _filter(*_MACHINES[machine], keep_attributes)]
    program = _Program(len(lines), (_Instruction * len(lines))(*lines))
    return (
        _libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(2), ctypes.byref(program), ctypes.c_ulong(0), ctypes.c_ulong(0)) == 0
    )


def _filter(architecture: int, calls: dict, keep_attributes: bool) -> list[tuple[int, int, int, int]]:
    refuse = (_RETURN, 0, 0, _REFUSE | errno.EPERM)
    lines = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, X32),  # the same calls under other numbers
        refuse,
        (_EQUAL, 0, 1, CLONE3),
        (_RETURN, 0, 0, _REFUSE | errno.ENOSYS),  # its flags lie in memory; the C library then takes clone
    ]
    denied = [*calls["denied"].values(), *(calls["attributes"].values() if keep_attributes else ())]
    for number in denied:
        lines += [(_EQUAL, 0, 1, number), refuse]
    lines += _only_if(calls["clone"], (_ANY_BIT, 1, 0, CLONE_THREAD))
    for number in calls["own"].values():
        lines += _only_if(number, (_EQUAL, 1, 0, os.getpid()), (_EQUAL, 1, 0, 0))
    return [*lines, (_RETURN, 0, 0, _ALLOW)]


def _only_if(number: int, *tests: tuple[int, int, int, int]) -> list[tuple[int, int, int, int]]:
    """Allow call `number` if one of the tests of its first argument holds; each jumps one line on if it does."""
    jumps = [(code, len(tests) - place, 0, value) for place, (code, _, _, value) in enumerate(tests)]
    body = [(_LOAD, 0, 0, _FIRST), *jumps, (_RETURN, 0, 0, _REFUSE | errno.EPERM), (_RETURN, 0, 0, _ALLOW)]
    return [(_EQUAL, 0, len(body), number), *body]
