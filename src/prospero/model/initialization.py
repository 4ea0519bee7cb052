"""The weights that a Transformer begins with."""

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

from prospero.model.layers.block import Block
from prospero.model.layers.lookback import Shift, Smear
from prospero.model.layers.norms import LayerNorm, RMSNorm

if TYPE_CHECKING:
    from prospero.model.transformer import Transformer


@torch.no_grad()
def draw_weights(model: "Transformer") -> None:
    """Draw all weights anew: normal with `init_std`; outputs of layers scaled by depth (GPT-2), or zero.

    A tied embedding starts smaller, at 2 / d_model: a token would otherwise find its own embedding in the head and
    predict itself, with a logit of init_std * d_model, and the first loss would be far above ln V.
    """
    c, blocks = model.config, [block for block in model.blocks if isinstance(block, Block)]
    outputs = {module for block in blocks for module in (block.attention.out, block.feed_forward.down)}
    for module in model.modules():
        if isinstance(module, nn.Linear):
            std = c.init_std / math.sqrt(2 * c.n_layers) if module in outputs else c.init_std
            zero = c.zero_init_outputs and (module in outputs or module is model.head)
            nn.init.zeros_(module.weight) if zero else nn.init.normal_(module.weight, std=std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            tied = model.head is None and module is model.embedding
            nn.init.normal_(module.weight, std=min(c.init_std, 2 / c.d_model) if tied else c.init_std)
        elif isinstance(module, (RMSNorm, LayerNorm)):
            module.reset_parameters()
    for module in model.modules():  # after the plain layers: a look-back owns one and sets it differently
        if isinstance(module, (Smear, Shift)):
            module.reset_parameters()
