"""Options of the whole suite, and what every test finds as it should be."""

import logging
import os
from collections.abc import Iterator

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is imported: workers that share the cores take one each
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="the endurance tests in their long form: ten kills each")


@pytest.fixture(scope="session")
def long_form(request: pytest.FixtureRequest) -> bool:
    """Whether the long form of the endurance tests is asked for."""
    return request.config.getoption("--long")


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
