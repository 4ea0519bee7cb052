"""The weights of a model as whole CPU tensors, however they are cut."""

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict


def whole_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return whole CPU tensors by name; a collective, filled on rank 0 only when the model is sharded."""
    if not any(hasattr(parameter, "full_tensor") for parameter in model.parameters()):
        return {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    return dict(get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True)))
