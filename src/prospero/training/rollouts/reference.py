"""The frozen reference: copies of what is trained, put in its place for a forward pass.

With an adapter only the few matrices that it added are copied: as they were at the start, it is off.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from prospero.checkpoints import laid_out_like
from prospero.optim.sharded import local
from prospero.training.gathered import reshard


class Reference:
    """The trained parameters of a model as they were when it was made, cut as they are cut."""

    @torch.no_grad()
    def __init__(self, model: nn.Module) -> None:
        self.weights: dict[str, Tensor] = {
            n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad
        }

    def load(self, saved: Mapping[str, Tensor]) -> None:
        """Take the weights of a checkpoint."""
        self.weights = dict(laid_out_like(saved, self.weights))

    @contextmanager
    def in_place(self, model: nn.Module) -> Iterator[None]:
        """Let `model` be the reference inside, and itself, bit for bit, after."""
        parameters = {name: p for name, p in model.named_parameters() if name in self.weights}
        reshard(model)
        with torch.no_grad():
            kept = {name: local(p.detach()).clone() for name, p in parameters.items()}
            for name, p in parameters.items():
                local(p).copy_(local(self.weights[name]))
        try:
            yield
        finally:
            reshard(model)
            with torch.no_grad():
                for name, p in parameters.items():
                    local(p).copy_(kept[name])
