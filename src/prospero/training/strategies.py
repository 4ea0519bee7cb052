"""What Lightning lacks for our runs: FSDP2 that also works on CPU, and checkpoint files that are whole or absent."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import nn

from prospero.errors import DataError
from prospero.paths import atomic_path


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its final place, syncs it, and renames it; the file is never held in memory.

    Lightning's own writer builds the file in memory, writes it under the system's temporary directory and copies it.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Write `checkpoint` to `path`; a kill at any moment leaves the old file or the new one."""
        try:
            with atomic_path(Path(path)) as temporary:
                with open(temporary, "wb") as file:
                    torch.save(checkpoint, file)
                os.chmod(temporary, 0o644)
        except (OSError, RuntimeError) as error:  # a full disk is a RuntimeError inside torch's writer
            raise DataError(
                f"could not write the checkpoint {path}: {_reason(error)}; the ones before are kept"
            ) from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error).splitlines()[0]


class FSDP2Strategy(ModelParallelStrategy):
    """Fully sharded data parallelism (FSDP2) over all processes, on GPUs and on CPU with gloo.

    Lightning's `data_parallel_size="auto"` means the number of nodes; here it means every process. Checkpoints are
    assembled on rank 0 into the same single file that the other strategies write, so a run may change strategy.
    """

    def __init__(self, **arguments: Any) -> None:
        arguments = {"save_distributed_checkpoint": False, "tensor_parallel_size": 1, **arguments}
        super().__init__(data_parallel_size="auto", **arguments)

    def setup_environment(self) -> None:
        """Give the whole world to data parallelism, then let Lightning build the mesh."""
        if self._data_parallel_size == "auto":
            self._data_parallel_size = self.num_nodes * self.num_processes // int(self._tensor_parallel_size)
        super().setup_environment()


def shard(model: nn.Module, mesh: Any) -> None:
    """Shard `model` in place over `mesh`: each block of `model.blocks` on its own, then what is left."""
    from torch.distributed.fsdp import fully_shard

    for block in getattr(model, "blocks", []):
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)


def sync_gradients(model: nn.Module, last_micro_step: bool) -> None:
    """Let a sharded `model` reduce its gradients only in the last micro-step of an accumulation."""
    set_sync = getattr(model, "set_requires_gradient_sync", None)
    if set_sync is not None:
        set_sync(last_micro_step)


def full_state_dict(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return whole CPU tensors of `model`, sharded or not; a collective, filled on rank 0 only when sharded."""
    if not any(hasattr(parameter, "full_tensor") for parameter in model.parameters()):
        return {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    whole: Any = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    return dict(whole)


def gathered(state: Any) -> Any:
    """Return nested dicts of tensors with every sharded tensor made whole on the CPU; a collective."""
    if isinstance(state, Mapping):
        return {name: gathered(value) for name, value in state.items()}
    whole = getattr(state, "full_tensor", None)
    return whole().cpu() if whole is not None else state


def scattered_like(state: Any, like: Any) -> Any:
    """Return `state` with every whole tensor cut as the tensor of the same name in `like` is; a collective."""
    if isinstance(state, Mapping):
        return {name: scattered_like(value, like.get(name, {})) for name, value in state.items()}
    if not hasattr(like, "device_mesh"):
        return state
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(state.to(like.device), like.device_mesh, like.placements)
