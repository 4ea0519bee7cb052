"""Which process this is among those of one run, known before and after torch.distributed starts. Imports torch late."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def _from_environment(names: tuple[str, ...], default: int) -> int:
    for name in names:
        value = os.environ.get(name, "")
        if value.isdigit():
            return int(value)
    return default


def _initialised() -> bool:
    import sys

    distributed = sys.modules.get("torch.distributed")
    return distributed is not None and distributed.is_available() and distributed.is_initialized()


def rank() -> int:
    """Return the number of this process in the whole run, from torch.distributed or, before it starts, the launcher.

    torchrun sets RANK, SLURM sets SLURM_PROCID, Lightning's own launcher sets NODE_RANK, LOCAL_RANK and WORLD_SIZE.
    """
    if _initialised():
        import torch.distributed as dist

        return dist.get_rank()
    if "RANK" in os.environ:
        return _from_environment(("RANK",), 0)
    if "LOCAL_RANK" in os.environ:
        node = _from_environment(("NODE_RANK", "GROUP_RANK"), 0)
        return node * local_world_size() + local_rank()
    return _from_environment(("SLURM_PROCID",), 0) if under_slurm() else 0


def local_rank() -> int:
    """Return the number of this process on its machine."""
    return _from_environment(("LOCAL_RANK", "SLURM_LOCALID") if under_slurm() else ("LOCAL_RANK",), 0)


def world_size() -> int:
    """Return the number of processes of the run (1 when nothing has launched several)."""
    if _initialised():
        import torch.distributed as dist

        return dist.get_world_size()
    return _from_environment(("WORLD_SIZE", "SLURM_NTASKS") if under_slurm() else ("WORLD_SIZE",), 1)


def local_world_size() -> int:
    """Return the number of processes of the run on this machine."""
    slurm = ("SLURM_NTASKS_PER_NODE", "SLURM_NTASKS") if under_slurm() else ()
    return _from_environment(("LOCAL_WORLD_SIZE", *slurm, "WORLD_SIZE"), 1)


def launched_externally() -> bool:
    """Whether torchrun or srun has started this process, so that the number of processes is already decided."""
    return under_torchrun() or under_slurm()


def under_torchrun() -> bool:
    """Whether torchrun has started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ or ("LOCAL_WORLD_SIZE" in os.environ and "RANK" in os.environ)


def under_slurm() -> bool:
    """Whether srun has started this process as one of several tasks.

    SLURM_NTASKS is there in a job's script and in a shell inside an allocation too, where nobody starts the others.
    """
    interactive = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
    started = "SLURM_STEP_ID" in os.environ and "SLURM_PROCID" in os.environ and "LOCAL_RANK" not in os.environ
    return started and not interactive and not under_torchrun() and _from_environment(("SLURM_NTASKS",), 1) > 1


def is_launched_child() -> bool:
    """Whether another process of this program started this one as a rank (Lightning's launcher)."""
    return local_rank() > 0 and not launched_externally()


def is_rank_zero() -> bool:
    """Whether this is the one process that writes files and speaks."""
    return rank() == 0


def any_rank(flag: bool, device: "torch.device | str" = "cpu") -> bool:
    """Return whether `flag` is set in any process; a collective: every process must call it at the same point."""
    if not _initialised() or world_size() == 1:
        return flag
    import torch
    import torch.distributed as dist

    shared = torch.tensor([float(flag)], device=device)
    dist.all_reduce(shared, op=dist.ReduceOp.MAX)
    return bool(shared.item())


def sum_over_ranks(values: "torch.Tensor") -> "torch.Tensor":
    """Return `values` summed over the processes (the tensor itself when there is one); a collective."""
    if not _initialised() or world_size() == 1:
        return values
    import torch.distributed as dist

    total = values.clone()
    dist.all_reduce(total, op=dist.ReduceOp.SUM)
    return total


def leave(*, together: bool) -> None:
    """End the process group, whose threads would else abort a process that leaves; every process calls it.

    `together` says that all processes have come to the same end. Otherwise only gloo's group is ended: NCCL's could
    wait for a process that is gone.
    """
    if not _initialised():
        return
    import torch.distributed as dist

    if together or dist.get_backend() == "gloo":
        dist.destroy_process_group()
