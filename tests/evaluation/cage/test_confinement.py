"""The filter of system calls, read by a small interpreter of its instructions."""

import errno

import pytest

from prospero.evaluation.cage import confinement

ALLOWED, NOT_PERMITTED, KILLED = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000


def answer(lines, *, architecture: int, number: int, first: int = 0) -> int:
    """What the kernel does with one call under the filter."""
    words, value, place = {0: number, 4: architecture, 16: first}, 0, 0
    while True:
        code, yes, no, operand = lines[place]
        place += 1
        if code == 0x20:
            value = words[operand]
        elif code == 0x06:
            return operand
        else:
            holds = {0x15: value == operand, 0x35: value >= operand, 0x45: bool(value & operand)}[code]
            place += yes if holds else no


@pytest.fixture(params=sorted(confinement._MACHINES))
def machine(request):
    architecture, calls = confinement._MACHINES[request.param]
    return architecture, calls, confinement._filter(architecture, calls, True)


def test_what_starts_processes_is_refused_and_threads_are_not(machine):
    architecture, calls, lines = machine
    for number in [*calls["denied"].values(), *calls["attributes"].values()]:
        assert answer(lines, architecture=architecture, number=number) == NOT_PERMITTED
    assert answer(lines, architecture=architecture, number=calls["clone"], first=17) == NOT_PERMITTED
    assert answer(lines, architecture=architecture, number=calls["clone"], first=0x3D0F00) == ALLOWED
    assert answer(lines, architecture=architecture, number=435) == 0x00050000 | errno.ENOSYS


def test_signals_go_to_the_program_itself_only(machine, monkeypatch):
    architecture, calls, _ = machine
    monkeypatch.setattr(confinement.os, "getpid", lambda: 77)
    lines = confinement._filter(architecture, calls, False)
    for number in calls["own"].values():
        found = [
            answer(lines, architecture=architecture, number=number, first=first) for first in (77, 0, 1, 2**32 - 1)
        ]
        assert found == [ALLOWED, ALLOWED, NOT_PERMITTED, NOT_PERMITTED]


def test_other_calls_are_allowed_and_other_machines_are_not(machine):
    architecture, calls, lines = machine
    named = {*calls["denied"].values(), *calls["own"].values(), *calls["attributes"].values(), calls["clone"], 435}
    for number in set(range(470)) - named:
        assert answer(lines, architecture=architecture, number=number) == ALLOWED
    assert answer(lines, architecture=architecture, number=0x40000000 + 1) == NOT_PERMITTED
    assert answer(lines, architecture=0x40000003, number=1) == KILLED
