"""AdamW: Adam with weight decay apart from the gradient; and the fused kernel where the device has one."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from prospero.errors import ConfigError
from prospero.optim.param_groups import decay_groups
from prospero.optim.width_rule import ADAM_RATE, rate_of_width


@dataclass(kw_only=True, slots=True)
class AdamWConfig:
    """AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101).

    The decay is decoupled: each step the weight shrinks by lr * weight_decay, whatever the gradient is. The
    regulariser `l2` is the other thing: a term of the loss, whose gradient Adam rescales.
    """

    lr: float | None = None
    """Peak learning rate; null takes it from the model's width: ADAM_RATE x 768 / d_model."""
    betas: list[float] = field(default_factory=lambda: [0.9, 0.95])
    """Decay of the averages of the gradient and of its square."""
    eps: float = 1e-8
    """Added to the root of the second average."""
    weight_decay: float = 0.1
    """Decoupled decay per unit of learning rate; norms, biases and embeddings are left out."""

    def __post_init__(self) -> None:
        check_at_least_zero(lr=self.lr, eps=self.eps, weight_decay=self.weight_decay)
        check_betas("betas", self.betas)

    def build(self, model: nn.Module) -> torch.optim.AdamW:
        """Return the optimiser over the model's decayed and undecayed group."""
        groups = decay_groups(model, self.weight_decay)
        lr = rate_of_width("lr", self.lr, model, ADAM_RATE)
        betas = (self.betas[0], self.betas[1])
        return torch.optim.AdamW(groups, lr=lr, betas=betas, eps=self.eps, fused=has_fused(model.parameters()))


def has_fused(parameters: Iterable[Tensor]) -> bool | None:
    """Return True when torch has a fused kernel for every parameter, None (let torch choose) otherwise."""
    fits = all(p.device.type in {"cpu", "cuda", "mps", "xpu"} and p.is_floating_point() for p in parameters)
    return True if fits else None


def check_at_least_zero(**settings: float | None) -> None:
    """Raise unless every setting is a finite number of 0 or more, or null."""
    for name, value in settings.items():
        if value is not None and not 0 <= value < float("inf"):
            raise ConfigError(f"{name}={value} cannot be; give a finite number of 0 or more")


def check_betas(name: str, betas: list[float]) -> None:
    """Raise unless `betas` are two numbers in [0, 1)."""
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise ConfigError(f"{name}={betas} cannot be; give two numbers from 0 to below 1, as [0.9, 0.95]")
