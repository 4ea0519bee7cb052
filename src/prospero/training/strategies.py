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
from prospero.training.parallel import Layout, parallelize


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
    """FSDP2, hybrid sharding and tensor parallelism over one mesh of all processes, on GPUs and on CPU with gloo.

    Checkpoints are assembled on rank 0 into the same single file that the other strategies write, so a run may change
    strategy.
    """

    def __init__(
        self,
        layout: Layout,
        *,
        bf16_gathers: bool = False,
        cpu_offload: bool = False,
        fsdp: bool = True,
        **arguments: Any,
    ) -> None:
        backend = "cpu:gloo,cuda:nccl" if cpu_offload else None
        arguments = {"save_distributed_checkpoint": False, "process_group_backend": backend, **arguments}
        super().__init__(
            data_parallel_size=layout.data_parallel, tensor_parallel_size=layout.tensor_parallel, **arguments
        )
        self.layout = layout
        self.bf16_gathers, self.cpu_offload, self.fsdp = bf16_gathers, cpu_offload, fsdp or cpu_offload

    @property
    def tensor_parallel(self) -> int:
        """Neighbouring ranks that read the same data."""
        return self.layout.tensor_parallel

    def setup_environment(self) -> None:
        """Start the processes' group and build the mesh of our layout in the place of Lightning's."""
        super(ModelParallelStrategy, self).setup_environment()
        self._setup_distributed()
        self._device_mesh = self.layout.mesh(self.root_device.type)
        assert self.lightning_module is not None
        self.lightning_module._device_mesh = self._device_mesh

    @property
    def distributed_sampler_kwargs(self) -> dict[str, Any]:
        """Ranks that read different data, and which of them this is."""
        return {
            "num_replicas": self.layout.data_parallel,
            "rank": self.global_rank // self.layout.tensor_parallel,
        }

    def parallelize(self, model: nn.Module) -> None:
        """Spread `model` over the mesh, in place."""
        parallelize(
            model, self.device_mesh, bf16_gathers=self.bf16_gathers, cpu_offload=self.cpu_offload, fsdp=self.fsdp
        )

    def model_to_device(self) -> None:
        """Move the module to the device; parameters that are offloaded stay in main memory, buffers do not."""
        if not self.cpu_offload:
            super().model_to_device()
            return
        assert self.model is not None
        for module in self.model.modules():
            for name, buffer in module.named_buffers(recurse=False):
                module._buffers[name] = buffer.to(self.root_device)


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
