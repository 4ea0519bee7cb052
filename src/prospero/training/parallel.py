"""How a model is spread over processes: which sizes, which meshes, and what each process holds.

Three ways to share, one dimension of the mesh each, outermost first:

- `replicate`: copies of the model; gradients are averaged over them (the outer half of HSDP);
- `shard`: every parameter is cut along its first dimension and gathered when it is used (FSDP2; Zhao et al. 2023,
  arXiv:2304.11277); processes of both dimensions read different data;
- `tensor_parallel`: every process computes its own heads and its own part of d_ff and of the vocabulary, on the same
  data (Shoeybi et al. 2019, arXiv:1909.08053). The residual stream, the norms and the loss are the same on all.

With tensor parallelism every parameter is a `DTensor`, those that are not cut as well (their layout is Replicate), so
that optimisers and clipping see one kind of tensor on one mesh.
"""

from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, fully_shard

from prospero.model.base import LanguageModel
from prospero.training.layout import REPLICATE, SHARD, TENSOR
from prospero.training.tensor_parallel import tensor_parallelize


def parallelize(
    model: nn.Module, mesh: DeviceMesh, *, bf16_gathers: bool = False, cpu_offload: bool = False, fsdp: bool = True
) -> None:
    """Spread `model` over `mesh` in place: tensor parallelism first, then sharding of what each process then holds.

    `bf16_gathers` lets the blocks' weights travel in bfloat16 (they stay float32 where they are kept, and gradients
    are reduced in float32); embedding, last norm and head, and with them the residual stream, stay in float32.
    `cpu_offload` keeps parameters, gradients and optimiser state in main memory. `fsdp` False leaves sharding out.
    """
    names = mesh.mesh_dim_names or ()
    if TENSOR in names:
        assert isinstance(model, LanguageModel), "only language models have a plan for tensor parallelism"
        tensor_parallelize(model, mesh[TENSOR])
    if fsdp:
        data = mesh[REPLICATE, SHARD] if REPLICATE in names else mesh[SHARD]
        shard(model, data, bf16_gathers=bf16_gathers, cpu_offload=cpu_offload)


def shard(model: nn.Module, mesh: DeviceMesh, *, bf16_gathers: bool = False, cpu_offload: bool = False) -> None:
    """Shard `model` in place over `mesh`: each block of `model.blocks` on its own, then what is left."""
    everywhere: dict[str, Any] = {"mesh": mesh}
    if cpu_offload:
        everywhere["offload_policy"] = CPUOffloadPolicy()
    blocks = dict(everywhere)
    if bf16_gathers:
        blocks["mp_policy"] = MixedPrecisionPolicy(
            param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False
        )
    for block in model.blocks if isinstance(model, LanguageModel) else []:
        fully_shard(block, **blocks)
    fully_shard(model, **everywhere)
