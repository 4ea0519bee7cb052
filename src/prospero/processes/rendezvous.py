"""Where the processes of one run agree before anything is written: on the folder, the settings, and who goes on.

They meet in a key-value store of torch (a TCPStore), not in a process group: no collective, so an error of one is told
to the others instead of leaving them waiting. Under torchrun it is the agent's own store, under keys of ours; else rank
0 hosts it at MASTER_ADDR:MASTER_PORT, and torch's process group, started later at the same address, shares the server.
"""

import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from prospero.errors import ConfigError, ProsperoError
from prospero.processes import ranks

Value = TypeVar("Value")

JOIN_SECONDS = 300.0
"""How long a process waits for rank 0 to open the rendezvous."""
VERDICT_SECONDS = 10.0
"""How long a failed process waits for rank 0 to say its error, before it says it itself."""
_POLL_SECONDS = 0.05
_CLOSED = "closed"


class StoppedByAnotherRank(ProsperoError):
    """This process leaves because another failed; rank 0 says why, this one stays silent."""


class Rendezvous:
    """The store that the processes of a run share until they train; with one process every question is answered."""

    def __init__(self, store: Any = None, rank: int = 0, world_size: int = 1) -> None:
        self.store, self.rank, self.world_size = store, rank, world_size

    def share(self, name: str, make: Callable[[], Value]) -> Value:
        """Return what `make` returns on rank 0 (plain values) to every process; the others wait for it.

        `name` is used once a run. Raises StoppedByAnotherRank when rank 0 fails first.
        """
        if self.world_size == 1:
            return make()
        if self.rank == 0:
            value = make()
            self._set(name, json.dumps(value))
            return value
        return json.loads(self._wait(name))

    def same(self, what: str, settings: Mapping[str, Any], *, hidden: Callable[[str], bool] | None = None) -> None:
        """Raise ConfigError on rank 0 (the others stop silently) when `settings` are not the same in all processes.

        The error names the first setting that differs, its values and the ranks; a `hidden` name is shown without its
        values. `settings` is flat: name -> plain value.
        """
        if self.world_size == 1:
            return
        hash_ = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
        theirs = self.share(f"{what}/rank 0", lambda: {"hash": hash_, "settings": dict(settings)})
        difference = None if theirs["hash"] == hash_ else _first_difference(theirs["settings"], dict(settings))
        if self.rank:
            self._set(f"{what}/{self.rank}", json.dumps(difference))
            self._wait(f"{what}/agreed")
            return
        found = {rank: json.loads(text) for rank, text in self.gather(what).items()}
        different = {rank: difference for rank, difference in found.items() if difference is not None}
        if different:
            raise ConfigError(_say_difference(what, different, settings, hidden))
        self._set(f"{what}/agreed", "yes")

    def all_ready(self) -> None:
        """Return in every process when all have come here; raises ConfigError on rank 0, naming a rank that failed."""
        if self.world_size == 1:
            return
        if self.rank:
            self._set(f"ready/{self.rank}", "yes")
            self._wait("ready/all")
        else:
            self.gather("ready")
            self._set("ready/all", "yes")

    def failed(self, error: BaseException) -> bool:
        """Tell the others that this process leaves with `error`; return whether rank 0 has said an error already."""
        if self.world_size == 1:
            return False
        message = (str(error).strip().splitlines() or [type(error).__name__])[0]
        try:
            if self.rank == 0:
                self._set(_CLOSED, message)
                return False
            self._set(f"failed/{self.rank}", message)
            return self._poll(lambda: self.store.check([_CLOSED]), VERDICT_SECONDS)
        except StoppedByAnotherRank:
            return True

    def put(self, key: str, text: str = "yes") -> None:
        """Write `text` under `key` for rank 0 to gather."""
        self._set(key, text)

    def _set(self, key: str, text: str) -> None:
        try:
            self.store.set(key, text)
        except RuntimeError as error:  # the host has left
            raise StoppedByAnotherRank(f"rank 0 has left the run ({_first_line(error)})") from error

    def _wait(self, key: str) -> str:
        """Wait for what rank 0 writes under `key`, without a limit: preparing data may take hours."""
        try:
            while not self.store.check([key]):
                if self.store.check([_CLOSED]):
                    raise StoppedByAnotherRank(self.store.get(_CLOSED).decode())
                time.sleep(_POLL_SECONDS)
            return self.store.get(key).decode()
        except RuntimeError as error:
            raise StoppedByAnotherRank(f"rank 0 has left the run ({_first_line(error)})") from error

    def gather(self, what: str) -> dict[int, str]:
        """Wait, on rank 0, until every other process has written `<what>/<its rank>`; ConfigError when one failed."""
        found: dict[int, str] = {}
        while len(found) < self.world_size - 1:
            for rank in range(1, self.world_size):
                if rank in found:
                    continue
                if self.store.check([f"failed/{rank}"]):
                    raise ConfigError(f"rank {rank}: {self.store.get(f'failed/{rank}').decode()}")
                if self.store.check([f"{what}/{rank}"]):
                    found[rank] = self.store.get(f"{what}/{rank}").decode()
            time.sleep(_POLL_SECONDS)
        return dict(sorted(found.items()))

    def _poll(self, happened: Callable[[], bool], seconds: float) -> bool:
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                if happened():
                    return True
                time.sleep(_POLL_SECONDS)
        except RuntimeError:  # the host has left: it has said why
            return True
        return False


ALONE = Rendezvous()
"""The rendezvous of a run of one process."""

_current = ALONE


def host(address: str, port: int, world_size: int) -> tuple[Rendezvous, int]:
    """Open the rendezvous on rank 0; return it and the port (a free one is found for port 0)."""
    store = _tcp_store(address, port, master=True, seconds=JOIN_SECONDS)
    return _open(store, 0, world_size), store.port


def join(address: str, port: int, rank: int, world_size: int, *, seconds: float = JOIN_SECONDS) -> Rendezvous:
    """Join the rendezvous that rank 0, or torchrun's agent, holds; ConfigError when nobody answers within `seconds`."""
    try:
        store = _tcp_store(address, port, master=False, seconds=seconds)
    except RuntimeError as error:
        raise ConfigError(
            f"rank {rank} found no rank 0 at {address}:{port} within {seconds:.0f} s; start all processes at the same "
            "time, and give MASTER_ADDR and MASTER_PORT of a machine that all can reach"
        ) from error
    return _open(store, rank, world_size)


def _open(store: Any, rank: int, world_size: int) -> Rendezvous:
    global _current
    from torch.distributed import PrefixStore  # pyright: ignore[reportPrivateImportUsage]

    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    _current = Rendezvous(PrefixStore(f"prospero/{attempt}", store), rank, world_size)
    return _current


def _tcp_store(address: str, port: int, *, master: bool, seconds: float) -> Any:
    from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]

    limit = timedelta(seconds=seconds)
    return TCPStore(address, port, None, master, limit, wait_for_workers=False, multi_tenant=master)


def agent_holds_the_store() -> bool:
    """Whether torchrun's agent hosts a store at MASTER_ADDR:MASTER_PORT for its processes."""
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"


def one_per_folder(rendezvous: Rendezvous, folder: Path, make: Callable[[], Value]) -> Value:
    """Return `make()` in every process; those that see rank 0's `folder` call it after rank 0 has.

    A file that rank 0 leaves there shows who shares the folder. The others (machines with disks of their own) go on at
    once; on each machine the lock inside `make` lets one of them work.
    """
    if rendezvous.world_size == 1:
        return make()
    name = rendezvous.share("mark in the cache", lambda: _leave_mark(folder))
    try:
        shared = (folder / name).exists()
        if rendezvous.rank:
            rendezvous.put(f"looked/{rendezvous.rank}")
        else:
            rendezvous.gather("looked")
    finally:
        if rendezvous.rank == 0:
            (folder / name).unlink(missing_ok=True)
    made = rendezvous.rank == 0 or not shared
    value = make() if made else None
    rendezvous.share("data of rank 0", lambda: True)
    return make() if value is None else value


def _leave_mark(folder: Path) -> str:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        name = f".mark-{secrets.token_hex(8)}"
        (folder / name).touch()
    except OSError as error:
        raise ConfigError(f"nothing can be written to {folder} ({error.strerror}); give outputs_dir=") from error
    return name


def tell_failure(error: BaseException) -> bool:
    """Tell the other processes of the run, if there are any, about `error`; return whether this one may be silent.

    Works before the rendezvous is opened too: under torchrun a mistake of one process alone is told through the agent.
    """
    if isinstance(error, StoppedByAnotherRank):
        return True
    rendezvous = _current
    if rendezvous is ALONE and agent_holds_the_store() and ranks.world_size() > 1:
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        try:
            rendezvous = join(address, port, ranks.rank(), ranks.world_size(), seconds=5.0)
        except ConfigError:
            return False
    return rendezvous.failed(error)


def _first_difference(theirs: dict[str, Any], ours: dict[str, Any]) -> list[Any]:
    for name in [*theirs, *ours]:
        if theirs.get(name) != ours.get(name) or (name in theirs) != (name in ours):
            return [name, ours.get(name)]
    return ["the order of the settings", None]


def _say_difference(
    what: str, different: dict[int, list[Any]], settings: Mapping[str, Any], hidden: Callable[[str], bool] | None
) -> str:
    hidden = hidden or (lambda name: False)
    name = min((found[0] for found in different.values()), key=[*settings, *(d[0] for d in different.values())].index)
    values: dict[str, list[int]] = {}
    for rank, (other, value) in different.items():
        if other == name:
            values.setdefault("another value" if hidden(name) else repr(value), []).append(rank)
    mine = "one value" if hidden(name) else repr(settings.get(name))
    theirs = ", ".join(f"{value} on rank {', '.join(map(str, ranks))}" for value, ranks in values.items())
    return (
        f"the ranks differ in their {what}: {name} is {mine} on rank 0 and {theirs}; "
        "start all processes with the same command and environment"
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
