"""When a model that FSDP2 has sharded reduces its gradients and drops what it has gathered; nothing for others."""

from torch import nn

from prospero.spread import is_sharded_module


def sync_gradients(model: nn.Module, last_micro_step: bool) -> None:
    """Let a sharded `model` reduce its gradients only in the last micro-step of an accumulation."""
    if is_sharded_module(model):
        model.set_requires_gradient_sync(last_micro_step)


def reshard(model: nn.Module) -> None:
    """Drop the gathered parameters of a sharded `model`.

    FSDP2 keeps those of the root (embedding, norm, head) after a forward pass that no backward pass follows; whoever
    then changes the weights, or loads others, would go on computing with the old ones.
    """
    for module in model.modules():
        if is_sharded_module(module):
            module.reshard()
