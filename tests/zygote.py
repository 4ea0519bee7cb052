"""A Python that has imported what training needs, and becomes the programs that tests start, each in a copy of itself.

Started by tests/programs.py with the number of a socket. A request is one message: what to run, where, with which
environment, and three descriptors. The copy is a process like any other, a child of the asking one (its own pid,
signals and exit code), and looks as a fresh Python does: arguments, `__main__`, sys.path, environment, streams, random
state. What it shares with its siblings is the seed of str's hash. Nothing here starts a thread: a copy would lack it.
"""

import builtins
import gc
import importlib
import importlib.machinery
import io
import json
import os
import socket
import sys
import time
import types

if __name__ == "__main__":
    ENVIRONMENT = dict(os.environ)
    """Before the imports, which add to it."""
    FOLDERS = [os.path.abspath(folder) for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
    SEARCHED = [folder for folder in sys.path[1:] if folder not in FOLDERS]
    """Where Python looks after the folder of the program and PYTHONPATH."""


IMPORTED = (
    *("prospero.training.assembly", "prospero.commands.train", "prospero.commands.init_from", "prospero.commands.plan"),
    *("prospero.commands.teaching", "prospero.training.session", "prospero.training.results", "prospero.runs.report"),
    *("prospero.training.guards.rollback", "prospero.training.callbacks.optimizer_average"),
    *("prospero.configuration.composition", "matplotlib.figure", "matplotlib.backends.backend_agg"),
)
"""In this order: what prospero.training imports first decides what is put off until it is used."""


def serve(asked: socket.socket) -> dict | None:
    """Fork for every request: returns the request in the copy, and None here once nobody asks any more."""
    while True:
        message, given, _, _ = socket.recv_fds(asked, 1 << 20, 3)
        if not message:
            return None
        middle = os.fork()
        if middle == 0:
            middle = os.getpid()
            copy = os.fork()
            if copy:
                asked.send(str(copy).encode())
                os._exit(0)  # so the copy becomes a child of the one who asked
            while os.getppid() == middle:
                time.sleep(0.0005)
            for number, descriptor in enumerate(given):
                os.dup2(descriptor, number)
                os.close(descriptor)
            return json.loads(message)
        os.waitpid(middle, 0)
        for descriptor in given:
            os.close(descriptor)
        asked.send(b"ready")


def become(request: dict) -> tuple[types.CodeType, dict]:
    """Make this process what a fresh Python started with these arguments is; return the program and its globals."""
    import numpy as np
    import torch
    from lightning.fabric.utilities import rank_zero

    if request["new_session"]:
        os.setsid()
    os.chdir(request["folder"])
    added = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
    os.environ.clear()
    os.environ.update({**added, **request["environment"]})
    if ENVIRONMENT.get("PYTHONUNBUFFERED") != os.environ.get("PYTHONUNBUFFERED"):
        _renew_streams(unbuffered=bool(os.environ.get("PYTHONUNBUFFERED")))
    np.random.seed()  # by chance, as at its import; random does it by itself
    torch.default_generator.seed()
    rank_zero.rank_zero_only.rank = rank_zero._get_rank() or 0  # as at its import
    sys.orig_argv = [sys.executable, *request["arguments"]]
    return _main_module(request["arguments"])


def _renew_streams(*, unbuffered: bool) -> None:
    for name, number in (("stdout", 1), ("stderr", 2)):
        old = getattr(sys, name)
        raw = io.FileIO(number, "w", closefd=False)
        new = io.TextIOWrapper(
            raw if unbuffered else io.BufferedWriter(raw), encoding=old.encoding, errors=old.errors, newline="\n",
            line_buffering=name == "stderr", write_through=unbuffered,
        )  # fmt: skip
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)


def _main_module(arguments: list[str]) -> tuple[types.CodeType, dict]:
    program, main = arguments[0], types.ModuleType("__main__")
    vars(main).update({"__builtins__": builtins, "__annotations__": {}})
    if program == "-c":
        first, file, source, sys.argv = "", "<string>", arguments[1].encode(), ["-c", *arguments[2:]]
        main.__loader__ = importlib.machinery.BuiltinImporter
    else:
        file = os.path.abspath(program)
        first, sys.argv = os.path.dirname(os.path.realpath(file)), arguments
        with open(file, "rb") as opened:
            source = opened.read()
        main.__file__, main.__cached__ = file, None
        main.__loader__ = importlib.machinery.SourceFileLoader("__main__", file)
    folders = [os.path.abspath(name) for name in os.environ.get("PYTHONPATH", "").split(os.pathsep) if name]
    _refuse_other_modules([first or os.getcwd(), *folders])
    sys.path[:] = [first, *dict.fromkeys([*folders, *SEARCHED])]
    sys.modules["__main__"] = main
    return compile(source, file, "exec", dont_inherit=True), main.__dict__


def _refuse_other_modules(folders: list[str]) -> None:
    """A module that was imported here cannot be another one there, as it would be after a true start."""
    for folder in folders:
        for entry in os.scandir(folder) if os.path.isdir(folder) else []:
            name = entry.name.removesuffix(".py")
            file = getattr(sys.modules.get(name), "__file__", None) if name.isidentifier() else None
            if file and name != "__main__" and not file.startswith(folder + os.sep) and _is_module(entry):
                sys.exit(f"{entry.path} would be imported instead of {file}: start this program by subprocess")


def _is_module(entry: os.DirEntry) -> bool:
    return entry.name.endswith(".py") or os.path.isfile(os.path.join(entry.path, "__init__.py"))


if __name__ == "__main__":
    for _name in IMPORTED:
        importlib.import_module(_name)
    importlib.import_module("prospero.configuration.composition").register()  # the same table in every program
    threads = len(os.listdir("/proc/self/task"))
    if threads > 1:
        sys.exit(f"{threads} threads run after the imports; a copy would have one of them")
    gc.collect()
    gc.freeze()  # a copy's collector leaves alone what all copies share
    _asked = socket.socket(fileno=int(sys.argv[1]))
    _asked.send(b"ready")
    _request = serve(_asked)
    _asked.close()
    if _request is not None:
        _program, _globals = become(_request)
        exec(_program, _globals)
