"""Where the processes that SLURM's srun has started find each other: the first machine, and a port of the job's own."""

import os
import re

from prospero.errors import ConfigError

_FIRST_PORT = 15_000


def main_address() -> str:
    """Return the name of the machine of rank 0: MASTER_ADDR, else the first of SLURM's list of nodes.

    Raises ConfigError when SLURM names none.
    """
    given = os.environ.get("MASTER_ADDR")
    if given:
        return given
    nodes = os.environ.get("SLURM_NODELIST") or os.environ.get("SLURM_JOB_NODELIST") or ""
    host = first_host(nodes)
    if not host:
        raise ConfigError("SLURM started this process without SLURM_NODELIST; give MASTER_ADDR, the first machine")
    return host


def main_port() -> int:
    """Return the port of the rendezvous: MASTER_PORT, else one from the job's number, the same on all its machines.

    Raises ConfigError when there is no number to take it from.
    """
    given = os.environ.get("MASTER_PORT", "")
    if given:
        if not given.isdigit():
            raise ConfigError(f"MASTER_PORT={given} is not the number of a port")
        return int(given)
    job = os.environ.get("SLURM_JOB_ID", "")
    if not job[-4:].isdigit():
        raise ConfigError(f"SLURM_JOB_ID={job} gives no port; give MASTER_PORT, the same on all machines")
    return _FIRST_PORT + int(job[-4:])


def check_tasks() -> None:
    """Refuse tasks that SLURM has laid out as it liked, which Lightning does not follow; ConfigError."""
    tasks = os.environ.get("SLURM_NTASKS", "1")
    if tasks != "1" and "SLURM_NTASKS_PER_NODE" not in os.environ:
        raise ConfigError(
            f"SLURM was given --ntasks={tasks}, which does not say how many each machine runs; "
            "give --ntasks-per-node=<devices a machine> instead"
        )


def first_host(nodes: str) -> str:
    """Return the first host of SLURM's short form of a list: `gpu[12-15,18],login1` is gpu12; "" of an empty list."""
    first = re.match(r"(?:[^\s,\[]|\[[^\]]*\])*", nodes.strip())
    assert first is not None, "the pattern matches the empty text"
    return re.sub(r"\[([^\],-]*)[^\]]*\]", r"\1", first[0])
