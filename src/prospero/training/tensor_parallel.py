"""Tensor parallelism of a Transformer: each process computes its own heads and parts of d_ff and of the vocabulary.

Shoeybi et al. 2019, arXiv:1909.08053. Every parameter becomes a `DTensor`, those that are not cut as well (their layout
is Replicate), so that optimisers and clipping see one kind of tensor on one mesh.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Placement, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    PrepareModuleInput,
    RowwiseParallel,
    parallelize_module,
)

from prospero.model.adapters.lora import LoRALinear
from prospero.model.base import LanguageModel
from prospero.model.layers.block import Block
from prospero.model.transformer import Transformer
from prospero.training.layout import blocks_of, check_tensor_parallel


def tensor_parallelize(model: LanguageModel, mesh: DeviceMesh) -> None:
    """Cut a Transformer over the one-dimensional `mesh`, in place; `check_tensor_parallel` says which can be cut.

    Heads (and those of keys and values), d_ff and the vocabulary are shared out; a vocabulary that does not divide is
    replaced by d_model. Everything else is replicated.
    """
    check_tensor_parallel(model, mesh.size())
    assert isinstance(model, Transformer)
    for block in blocks_of(model):
        plan, added = _block_plan(block), _taken_off(block)
        parallelize_module(block, mesh, plan)
        for name, pair in added.items():
            _put_beside(block.get_submodule(name), pair, plan[name], mesh)
        if block.attention.dropout > 0:
            _own_dropout(block.attention, mesh.get_local_rank())
    by_vocabulary = model.vocab_size % mesh.size() == 0
    embedding = (
        RowwiseParallel(input_layouts=Replicate(), output_layouts=Replicate())
        if by_vocabulary
        else ColwiseParallel(output_layouts=Replicate())
    )
    parallelize_module(model.embedding, mesh, embedding)
    if model.head is not None:
        _distribute(model.head, mesh, Shard(0) if by_vocabulary else Shard(1))
    for module in model.modules():
        if any(not isinstance(p, DTensor) for p in module.parameters(recurse=False)):
            parallelize_module(module, mesh, Replicated())
    _project_locally(model, mesh)


def _block_plan(block: Block) -> dict[str, ParallelStyle]:
    """Return what to do with each layer: inputs enter once, as a DTensor, so that their gradients are summed once."""
    whole = Replicate()
    attention_input: Any = {"input_layouts": (whole, None, None), "desired_input_layouts": (whole, None, None)}
    feed_forward_input: Any = {"input_layouts": (whole,), "desired_input_layouts": (whole,)}
    plan: dict[str, ParallelStyle] = {
        "attention": PrepareModuleInput(**attention_input, use_local_output=False),
        "attention.q": ColwiseParallel(),
        "attention.k": ColwiseParallel(),
        "attention.v": ColwiseParallel(),
        "attention.out": RowwiseParallel(),
        "feed_forward": PrepareModuleInput(**feed_forward_input, use_local_output=False),
        "feed_forward.up": ColwiseParallel(),
        "feed_forward.down": RowwiseParallel(),
    }
    if block.feed_forward.gate is not None:
        plan["feed_forward.gate"] = ColwiseParallel()
    if block.attention.q_norm is not None:
        plan |= {"attention.q_norm": Replicated(of_parts=True), "attention.k_norm": Replicated(of_parts=True)}
    return plan


def _taken_off(block: Block) -> dict[str, tuple[nn.Parameter, nn.Parameter]]:
    """Take the low-rank matrices off the layers of `block`, by name: torch's styles know weight and bias only."""
    added = {}
    for name, layer in block.named_modules():
        if isinstance(layer, LoRALinear):
            added[name] = (layer.lora_A, layer.lora_B)
            del layer.lora_A, layer.lora_B
    return added


def _put_beside(
    layer: nn.Module, pair: tuple[nn.Parameter, nn.Parameter], style: ParallelStyle, mesh: DeviceMesh
) -> None:
    """Put the matrices A, B back, cut as the weight beside them is: B by its rows or A by its columns."""
    by_inputs = isinstance(style, RowwiseParallel)
    places = (Shard(1), Replicate()) if by_inputs else (Replicate(), Shard(0))
    for name, parameter, place in zip(("lora_A", "lora_B"), pair, places):
        layer.register_parameter(name, parameter)
        _distribute_one(layer, name, parameter, mesh, place)


class Replicated(ParallelStyle):
    """A layer whose weights are the same on all processes of the mesh, as DTensors, and whose arithmetic is local.

    `of_parts` says that each process feeds its own part of the activations through it (the norms of queries and keys
    see the process's own heads), so that the weights' gradients are summed over the processes.
    """

    def __init__(self, *, of_parts: bool = False) -> None:
        super().__init__()
        self.of_parts = of_parts

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        names = [name for name, _ in module.named_parameters(recurse=False)]
        _distribute(module, device_mesh, Replicate())
        module.__class__ = _with_local_forward(type(module), names, _summed_local if self.of_parts else _local)
        return module


def _with_local_forward(kind: type, names: list[str], view: Callable[[Any], Any]) -> type:
    """Return a class that sees the named parameters through `view` while `forward` runs, and as they are elsewhere."""

    def seen(name: str) -> property:
        return property(lambda self: view(self._parameters[name]) if self.computing else self._parameters[name])

    def forward(self: Any, *arguments: Any, **settings: Any) -> Any:
        self.computing = True
        try:
            return kind.forward(self, *arguments, **settings)  # pyright: ignore[reportAttributeAccessIssue]
        finally:
            self.computing = False

    members = {name: seen(name) for name in names} | {"computing": False, "forward": forward}
    return type(f"Replicated{kind.__name__}", (kind,), members)


def _local(parameter: Any) -> Any:
    return parameter.to_local() if isinstance(parameter, DTensor) else parameter


def _summed_local(parameter: Any) -> Any:
    """Return the local tensor; its gradient is a part, which the (else idle) redistribution sums over the mesh."""
    if not isinstance(parameter, DTensor):
        return parameter
    everywhere = [Replicate()] * parameter.device_mesh.ndim
    return parameter.redistribute(placements=everywhere).to_local(grad_placements=[Partial()] * len(everywhere))


def _distribute(module: nn.Module, mesh: DeviceMesh, placement: Placement) -> None:
    """Make the module's own parameters DTensors; every process already has the same whole values."""
    for name, parameter in list(module.named_parameters(recurse=False)):
        _distribute_one(module, name, parameter, mesh, placement)


def _distribute_one(
    module: nn.Module, name: str, parameter: nn.Parameter, mesh: DeviceMesh, placement: Placement
) -> None:
    spread = distribute_tensor(parameter.data, mesh, [placement], src_data_rank=None)
    module.register_parameter(name, nn.Parameter(spread, requires_grad=parameter.requires_grad))


def _project_locally(model: Transformer, mesh: DeviceMesh) -> None:
    """Let `project` take and return plain tensors: each process computes its logits, then all have all of them."""
    project = model.project

    def projected(hidden: Tensor) -> Tensor:
        """Return the logits [..., V] of `hidden` [..., D], whole on every process."""
        logits = project(DTensor.from_local(hidden, mesh, [Replicate()], run_check=False))
        assert isinstance(logits, DTensor)
        return logits.full_tensor()

    model.project = projected  # pyright: ignore[reportAttributeAccessIssue]


def _own_dropout(attention: nn.Module, rank: int) -> None:
    """Draw the dropout of attention probabilities per process, for its own heads, and leave the common state in step.

    Everywhere else activations are the same on all processes of the group, and so are the seeds, hence the masks.
    """
    kept: list[tuple[Tensor, Tensor | None]] = []

    def enter(module: nn.Module, _: Any) -> None:
        if module.training:
            kept.append(_random_state())
            torch.manual_seed((torch.initial_seed() + int(torch.randint(2**31, ())) * 4096 + rank) % 2**63)

    def leave(module: nn.Module, *_: Any) -> None:
        if kept:
            _set_random_state(kept.pop())
            torch.rand(())  # the next layer draws another number

    before: Any = torch.compiler.disable(enter)
    after: Any = torch.compiler.disable(leave)
    attention.register_forward_pre_hook(before)
    attention.register_forward_hook(after, always_call=True)


def _random_state() -> tuple[Tensor, Tensor | None]:
    return torch.get_rng_state(), torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None


def _set_random_state(state: tuple[Tensor, Tensor | None]) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1])
