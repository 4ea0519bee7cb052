"""Options of the whole suite, and what every test finds as it should be."""

import logging
import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # of a job in the background; programs of tests would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is imported: workers that share the cores take one each
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--long", action="store_true", help="every case of every grid, and ten kills for each endurance test"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the cases marked `deep` to --long; begin with the files that start processes, which take longest.

    What is marked `heavy` counts as `processes`, so that `-m "not processes"` answers in a minute.
    """
    for item in items:
        if item.get_closest_marker("heavy") is not None:
            item.add_marker("processes")
    if not config.getoption("--long"):
        deep = [item for item in items if item.get_closest_marker("deep") is not None]
        config.hook.pytest_deselected(items=deep)
        items[:] = [item for item in items if item.get_closest_marker("deep") is None]
    longest = {item.path for item in items if item.get_closest_marker("processes") is not None}
    items.sort(key=lambda item: item.path not in longest)


@pytest.fixture(scope="session")
def long_form(request: pytest.FixtureRequest) -> bool:
    """Whether the long form of the endurance tests is asked for."""
    return request.config.getoption("--long")


@pytest.fixture(autouse=True)
def _environment_of_programs() -> None:
    """Take what earlier tests and the libraries they imported left in the environment as given; see programs.py."""
    from tests import programs  # imports torch, which is to read what stands at the top here

    programs.begin()


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Give each test the program's logger as it is at first: a command that ran in this process has configured it."""
    yield
    log = logging.getLogger("prospero")
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()
    log.setLevel(logging.NOTSET)
    log.propagate = True


@pytest.fixture(autouse=True)
def _processes_are_marked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold `pytest -m "not processes"` to its word: a test without the mark starts no Python of its own."""
    marked = request.node.get_closest_marker("processes") is not None
    if marked and request.node.get_closest_marker("heavy") is None:
        return
    start = subprocess.Popen.__init__

    def refuse(self: subprocess.Popen, args: object, *rest: object, **options: object) -> None:
        words = [args] if isinstance(args, str | os.PathLike) else list(args)  # type: ignore[call-overload]
        if "python" in os.path.basename(os.fspath(words[0])):
            pytest.fail(f"{request.node.nodeid} starts {words[:3]}; mark it with @pytest.mark.processes")
        start(self, args, *rest, **options)

    monkeypatch.setattr(subprocess.Popen, "__init__", refuse)
