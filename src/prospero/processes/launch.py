"""How the processes of a run come to be: by torchrun, by SLURM's srun, or started here; then all go the same way.

`python train.py trainer.devices=2` starts the second process before anything is prepared, with the same command line,
so that every launch has the same story: join the rendezvous, agree, prepare, train.
"""

import atexit
import os
import subprocess
import sys
import threading
import time

from prospero.errors import ConfigError
from prospero.processes import ranks, rendezvous, signals, slurm
from prospero.processes.rendezvous import ALONE, Rendezvous

LAST_WORDS_SECONDS = 10.0
"""How long a process may go on after one it has started has died: time for its own error to be raised and said."""
LEAVE_SECONDS = 60.0
"""How long the started processes may take to end after the first has."""


def join(devices: int, num_nodes: int) -> Rendezvous:
    """Return the rendezvous of this run's `devices * num_nodes` processes, having started those of this machine.

    Raises ConfigError when a launcher's variables do not fit together or rank 0 cannot be reached.
    """
    world_size = devices * num_nodes
    if world_size == 1:
        return ALONE
    _share_the_cores(devices)
    if ranks.under_slurm():
        slurm.check_tasks()
        os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = slurm.main_address(), str(slurm.main_port())
    elif not ranks.launched_externally() and "LOCAL_RANK" not in os.environ:
        return _start_children(devices, num_nodes)
    address, port = os.environ.get("MASTER_ADDR"), os.environ.get("MASTER_PORT", "")
    if not address or not port.isdigit():
        raise ConfigError("this process has a rank but no MASTER_ADDR and MASTER_PORT; start it with torchrun or srun")
    rank = ranks.rank()
    if rank == 0 and not rendezvous.agent_holds_the_store():
        return rendezvous.host(address, int(port), world_size)[0]
    return rendezvous.join(address, int(port), rank, world_size)


def _share_the_cores(processes: int) -> None:
    """Give each process its share of the cores, unless OMP_NUM_THREADS decides."""
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        threads = max(1, cores // processes)
        os.environ["OMP_NUM_THREADS"] = str(threads)
        torch.set_num_threads(threads)


def _start_children(devices: int, num_nodes: int) -> Rendezvous:
    """Host the rendezvous (on the first machine) and start the other processes of this machine."""
    node = int(os.environ.get("NODE_RANK", "0"))
    if num_nodes > 1 and ("MASTER_ADDR" not in os.environ or not os.environ.get("MASTER_PORT", "").isdigit()):
        raise ConfigError(
            f"trainer.num_nodes={num_nodes}: start one agent a machine with torchrun (see launch/), or give NODE_RANK, "
            "MASTER_ADDR and MASTER_PORT on each"
        )
    address = os.environ["MASTER_ADDR"] if num_nodes > 1 else "127.0.0.1"
    port = int(os.environ["MASTER_PORT"]) if num_nodes > 1 else 0
    world_size = devices * num_nodes
    world = {"LOCAL_RANK": "0", "NODE_RANK": str(node), "LOCAL_WORLD_SIZE": str(devices), "WORLD_SIZE": str(world_size)}
    if node == 0:
        opened, port = rendezvous.host(address, port, world_size)
    else:
        opened = rendezvous.join(address, port, node * devices, world_size)
    os.environ.update(world, MASTER_ADDR=address, MASTER_PORT=str(port))
    children = [
        subprocess.Popen(_this_command(), env={**os.environ, "LOCAL_RANK": str(local_rank)})
        for local_rank in range(1, devices)
    ]
    signals.watch.children += children
    _Watch(children, first_rank=node * devices + 1).start()
    atexit.register(_see_them_off, children)
    return opened


def _this_command() -> list[str]:
    """The words that start this program again: same interpreter, same arguments."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        name = spec.parent if spec.name.endswith(".__main__") else spec.name
        return [sys.executable, "-m", name, *sys.argv[1:]]
    return [sys.executable, os.path.abspath(sys.argv[0]), *sys.argv[1:]]


class _Watch(threading.Thread):
    """Ends this process, with the same exit code, when one it started has died and it cannot notice by itself.

    A process that waits inside a collective for a dead one hears nothing of it on some backends.
    """

    def __init__(self, children: list[subprocess.Popen[bytes]], first_rank: int) -> None:
        super().__init__(daemon=True, name="watch-children")
        self.children, self.first_rank = children, first_rank

    def run(self) -> None:
        """Poll once a second."""
        while True:
            time.sleep(1.0)
            codes = [child.poll() for child in self.children]
            if all(code == 0 for code in codes):
                return
            for number, code in enumerate(codes):
                if code:
                    time.sleep(LAST_WORDS_SECONDS)
                    print(f"error: rank {self.first_rank + number} ended with exit code {code}", file=sys.stderr)
                    for child in self.children:
                        child.kill()
                    os._exit(code if code > 0 else 128 - code)


def _see_them_off(children: list[subprocess.Popen[bytes]]) -> None:
    """Wait for the started processes when this one leaves, and end those that do not."""
    end = time.monotonic() + LEAVE_SECONDS
    for child in children:
        try:
            child.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
