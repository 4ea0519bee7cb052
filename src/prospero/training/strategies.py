"""What Lightning lacks for our runs: FSDP2 that also works on CPU, and checkpoints that any strategy can go on from."""

from typing import Any

from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy, SingleDeviceStrategy
from torch import nn

from prospero.training.checkpoint_io import FolderCheckpoints
from prospero.training.layout import Layout


class OneDeviceStrategy(FolderCheckpoints, SingleDeviceStrategy):
    """One process on one device."""


class CopiesStrategy(FolderCheckpoints, DDPStrategy):
    """DDP: a copy of the model in every process; the first writes what all of them hold."""


class FSDP2Strategy(FolderCheckpoints, ModelParallelStrategy):
    """FSDP2, hybrid sharding and tensor parallelism over one mesh of all processes, on GPUs and on CPU with gloo.

    Every process writes and reads its own part of a checkpoint; a run may change strategy.
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
        from prospero.training.parallel import parallelize

        parallelize(
            model, self.device_mesh, bf16_gathers=self.bf16_gathers, cpu_offload=self.cpu_offload, fsdp=self.fsdp
        )

    def model_to_device(self) -> None:
        """Move the module to the device; parameters that are offloaded stay in main memory, all else moves.

        Metrics keep their sums in no buffer, so each module without a parameter moves as a whole.
        """
        if not self.cpu_offload:
            super().model_to_device()
            return
        assert self.model is not None
        for module in self.model.modules():
            for name, buffer in module.named_buffers(recurse=False):
                module._buffers[name] = buffer.to(self.root_device)
            if next(module.parameters(), None) is None:
                module.to(self.root_device)
