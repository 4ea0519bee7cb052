"""Adam, as it was first written: weight decay, when asked for, is L2 in the gradient."""

from dataclasses import dataclass, field

import torch
from torch import nn

from prospero.optim.adamw import check_at_least_zero, check_betas, has_fused
from prospero.optim.param_groups import decay_groups
from prospero.optim.width_rule import ADAM_RATE, rate_of_width


@dataclass(kw_only=True, slots=True)
class AdamConfig:
    """Adam (Kingma & Ba 2015, arXiv:1412.6980).

    `weight_decay` here is coupled: weight_decay * theta is added to the gradient before the averages, so a weight with
    large gradients is decayed less. For decay apart from the gradient take adamw.
    """

    lr: float | None = None
    """Peak learning rate; null takes it from the model's width: ADAM_RATE x 768 / d_model."""
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
    """Decay of the averages of the gradient and of its square."""
    eps: float = 1e-8
    """Added to the root of the second average."""
    weight_decay: float = 0.0
    """Factor of theta in the gradient (coupled L2); norms, biases and embeddings are left out."""

    def __post_init__(self) -> None:
        check_at_least_zero(lr=self.lr, eps=self.eps, weight_decay=self.weight_decay)
        check_betas("betas", self.betas)

    def build(self, model: nn.Module) -> torch.optim.Adam:
        """Return the optimiser over the model's decayed and undecayed group."""
        groups = decay_groups(model, self.weight_decay)
        lr = rate_of_width("lr", self.lr, model, ADAM_RATE)
        betas = (self.betas[0], self.betas[1])
        return torch.optim.Adam(groups, lr=lr, betas=betas, eps=self.eps, fused=has_fused(model.parameters()))
