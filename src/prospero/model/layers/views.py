"""What the layers of one window share: the rotation of their positions and the mask of what they may see."""

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from prospero.model.layers.attention import Shared, window_mask
from prospero.model.layers.rotary import rotation

if TYPE_CHECKING:
    from prospero.model.transformer import TransformerConfig


def rotation_of(config: "TransformerConfig", positions: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """Return the rotation of `positions` in layers with this window."""
    c, width = config, config.rotary_dim or config.head_width
    if window and c.window_rope_theta is not None:
        cos, sin = rotation(positions, width, c.window_rope_theta)
    else:
        cos, sin = rotation(positions, width, c.rope_theta, c.rope_scaling)
    if positions.dim() == 2:  # rows that differ: [B, T, R] -> [B, 1, T, R]
        return cos.unsqueeze(1), sin.unsqueeze(1)
    return cos, sin


def view_of(config: "TransformerConfig", shared: Shared, positions: Tensor, window: int, dtype: torch.dtype) -> Shared:
    """Return what the layers with this window share."""
    if not window:
        return shared
    mask, time = shared.mask, positions.shape[-1]
    if shared.cache is not None:
        mask = shared.cache.mask(positions, dtype, window)
    elif window < time:
        bound = window_mask(time, window, dtype, positions.device)
        mask = bound if mask is None else mask + bound
    rotated = shared.rotation
    if rotated is not None and config.window_rope_theta is not None:
        rotated = rotation_of(config, positions, window)
    return replace(shared, rotation=rotated, mask=mask, causal=mask is None and time > 1)
