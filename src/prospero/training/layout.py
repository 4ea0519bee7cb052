"""How many processes share a run in which way, and which models can be cut so; parallel.py does it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from prospero.errors import ConfigError
from prospero.model.layers.attention import QKNormWidth
from prospero.model.layers.block import Block
from prospero.model.transformer import Transformer

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

REPLICATE, SHARD, TENSOR = "replicate", "shard", "tensor_parallel"


@dataclass(frozen=True, slots=True)
class Layout:
    """How many processes share in each way; their product is the number of processes."""

    replicas: int = 1
    shards: int = 1
    tensor_parallel: int = 1

    @property
    def data_parallel(self) -> int:
        """Number of processes (or groups of them) that read different data."""
        return self.replicas * self.shards

    def mesh(self, device_type: str) -> "DeviceMesh":
        """Return the mesh of all processes; neighbouring ranks share tensors, distant ones hold copies. Collective."""
        from torch.distributed.device_mesh import init_device_mesh

        sizes = {REPLICATE: self.replicas, SHARD: self.shards, TENSOR: self.tensor_parallel}
        sizes = {name: size for name, size in sizes.items() if size > 1 or name == SHARD}
        return init_device_mesh(device_type, tuple(sizes.values()), mesh_dim_names=tuple(sizes))


def check_tensor_parallel(model: nn.Module, size: int) -> None:
    """Raise ConfigError when `model` cannot be cut into `size` parts; nothing to check at 1."""
    if size == 1:
        return
    if not isinstance(model, Transformer):
        raise ConfigError(
            f"trainer.tensor_parallel={size} cuts the heads of a Transformer; {type(model).__name__} has none: use "
            "trainer=ddp or trainer=fsdp"
        )
    if model.image_shape is not None:
        raise ConfigError(
            f"trainer.tensor_parallel={size} cuts the heads of a text model, and model.prefix.kind=image has more; "
            "use trainer=ddp or trainer=fsdp"
        )
    c, feed_forward = model.config, next(blocks_of(model)).feed_forward
    if c.qk_norm and c.qk_norm_width is QKNormWidth.all_heads:
        raise ConfigError(
            f"trainer.tensor_parallel={size} cuts the heads, and model.qk_norm_width=all_heads normalises over all of "
            "them; use trainer=ddp or trainer=fsdp"
        )
    widths = {
        "model.n_heads": c.n_heads,
        "model.n_kv_heads": c.n_kv_heads or c.n_heads,
        "model.d_ff": feed_forward.up.out_features,
    }
    for name, width in widths.items():
        if width % size:
            allowed = ", ".join(str(n) for n in range(1, width + 1) if _divides(n, *widths.values()))
            raise ConfigError(f"trainer.tensor_parallel={size} does not divide {name}={width}; choose from {allowed}")
    if model.vocab_size % size and model.d_model % size:
        raise ConfigError(
            f"trainer.tensor_parallel={size} divides neither the vocabulary of {model.vocab_size} nor "
            f"model.d_model={model.d_model}; choose a divisor of one of them"
        )


def _divides(n: int, *widths: int) -> bool:
    return all(width % n == 0 for width in widths)


def blocks_of(model: Transformer) -> Iterator[Block]:
    return (block for block in model.blocks if isinstance(block, Block))
