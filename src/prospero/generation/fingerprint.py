"""A mark of a model's weights, to tell whether a job goes on with the model it began with."""

import hashlib

import torch
from torch import nn

SAMPLED = 4096
"""Elements of each tensor that are looked at, evenly spread."""


@torch.no_grad()
def weights_mark(model: nn.Module) -> str:
    """Return 16 hexadecimal digits that differ when the model was trained on, or is another."""
    seen = hashlib.blake2b(digest_size=8)
    for name, tensor in model.state_dict().items():
        flat = tensor.detach().reshape(-1)
        some = flat[:: max(1, flat.numel() // SAMPLED)].float().cpu().numpy()
        seen.update(f"{name} {tuple(tensor.shape)} ".encode() + some.tobytes())
    return seen.hexdigest()
