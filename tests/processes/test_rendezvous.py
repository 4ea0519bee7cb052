"""Processes of one run agree in a store; here several members of one rendezvous live in threads of one process."""

import threading
import time

import pytest

from prospero.errors import ConfigError
from prospero.plain import flat
from prospero.processes import rendezvous as room
from prospero.processes.rendezvous import ALONE, Rendezvous, StoppedByAnotherRank, one_per_folder


@pytest.fixture
def members(monkeypatch):
    """Three members that meet at a free port."""
    monkeypatch.setattr(room, "_current", ALONE)
    first, port = room.host("127.0.0.1", 0, 3)
    return [first, *(room.join("127.0.0.1", port, rank, 3, seconds=10) for rank in (1, 2))]


def together(members, action):
    """Run action(member) for all at once; return what each returned or raised."""
    results = [None] * len(members)

    def one(member):
        try:
            results[member.rank] = action(member)
        except Exception as error:
            member.failed(error)
            results[member.rank] = error

    threads = [threading.Thread(target=one, args=(member,)) for member in members]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive(), "a member hangs"
    return results


def test_all_take_what_rank_zero_makes(members):
    made = []

    def make(rank):
        made.append(rank)
        return {"folder": f"of rank {rank}"}

    found = together(members, lambda member: member.share("folder", lambda: make(member.rank)))
    assert found == [{"folder": "of rank 0"}] * 3
    assert made == [0]


def test_the_first_setting_that_differs_is_named_once(members):
    settings = [{"a": 1, "optimizer.lr": 0.1, "seed": 1}, {"a": 1, "optimizer.lr": 0.1, "seed": 1}]
    settings.append({"a": 1, "optimizer.lr": 0.2, "seed": 2})
    errors = together(members, lambda member: member.same("settings", settings[member.rank]))
    assert str(errors[0]) == (
        "the ranks differ in their settings: optimizer.lr is 0.1 on rank 0 and 0.2 on rank 2; "
        "start all processes with the same command and environment"
    )
    assert isinstance(errors[0], ConfigError)
    assert [type(error) for error in errors[1:]] == [StoppedByAnotherRank] * 2


def test_a_secret_that_differs_is_named_without_its_value(members):
    def action(member):
        member.same("settings", {"api_key": f"value-{member.rank}"}, hidden=lambda name: name == "api_key")

    error = together(members, action)[0]
    assert "api_key is one value on rank 0 and another value on rank 1, 2" in str(error)
    assert "value-" not in str(error)


def test_equal_settings_pass_and_everybody_is_ready(members):
    def action(member):
        member.same("settings", {"a": [1, 2], "b": None})
        member.all_ready()
        return "trains"

    assert together(members, action) == ["trains"] * 3


def test_an_error_of_one_stops_all_and_rank_zero_says_it(members):
    def action(member):
        if member.rank == 1:
            raise ConfigError("seq_len=9 is not possible")
        member.all_ready()

    started = time.monotonic()
    errors = together(members, action)
    assert time.monotonic() - started < 5
    assert str(errors[0]) == "rank 1: seq_len=9 is not possible"
    assert isinstance(errors[2], StoppedByAnotherRank)
    assert members[1].failed(ConfigError("again")), "rank 1 may be silent: rank 0 has said it"


def test_an_error_of_rank_zero_stops_those_that_wait(members):
    def action(member):
        return member.share("folder", lambda: (_ for _ in ()).throw(ConfigError("no disk")))

    errors = together(members, action)
    assert str(errors[0]) == "no disk"
    assert [str(error) for error in errors[1:]] == ["no disk"] * 2


@pytest.mark.heavy
def test_nobody_at_the_address_is_one_line():
    with pytest.raises(ConfigError, match="rank 3 found no rank 0 at ") as error:
        room.join("127.0.0.1", 1, 3, 4, seconds=1.0)
    assert "\n" not in str(error.value)


@pytest.mark.heavy
def test_one_prepares_for_those_that_share_the_folder(members, tmp_path):
    folders = [tmp_path / "shared", tmp_path / "shared", tmp_path / "own disk"]
    order = []

    def make(member):
        if member.rank == 0:
            time.sleep(0.3)
        order.append(member.rank)
        return member.rank

    found = together(members, lambda member: one_per_folder(member, folders[member.rank], lambda: make(member)))
    assert found == [0, 1, 2]
    assert order == [2, 0, 1], "rank 2 does not wait, rank 1 comes after rank 0"
    assert list((tmp_path / "shared").iterdir()) == []


def test_alone_there_is_nothing_to_agree_on(tmp_path):
    assert ALONE.share("x", lambda: object) is object
    ALONE.same("settings", {"a": 1})
    ALONE.all_ready()
    assert ALONE.failed(ValueError()) is False
    assert one_per_folder(Rendezvous(), tmp_path, lambda: 5) == 5


def test_flat_names_every_setting():
    assert flat({"a": {"b": 1, "c": {}}, "run_dir": "x", "d": [1]}, without=["run_dir"]) == {
        "a.b": 1, "a.c": {}, "d": [1],
    }  # fmt: skip
