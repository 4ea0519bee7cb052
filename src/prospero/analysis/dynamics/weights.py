"""The matrices of a model and the circuits of its heads, named alike at every checkpoint."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from prospero.analysis.dynamics.circuits import HeadMatrices
from prospero.model.base import LanguageModel
from prospero.model.layers.attention import Attention

_LAYER = re.compile(r"^blocks?\.(\d+)\.(.+)$")


def place_of(name: str) -> tuple[int | None, str]:
    """Return (layer, what it is there) of a parameter or point: blocks.3.attention.q.weight -> (3, attention.q)."""
    found = _LAYER.match(name)
    layer, kind = (int(found[1]), found[2]) if found else (None, name)
    return layer, kind.removesuffix(".weight")


def matrices_of(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the parameters that are matrices, those of more dimensions (convolutions) as [outputs, all others]."""
    return {name: p.detach().flatten(1) for name, p in parameters.items() if p.dim() >= 2}


@dataclass(frozen=True, slots=True)
class AttentionPlace:
    """Where a model has an attention layer."""

    layer: int
    name: str
    """Of the module: blocks.3.attention."""
    head_dim: int

    def matrices(self, read: Callable[[str], Tensor]) -> HeadMatrices:
        """Return its weights, each by `read` (name of the parameter -> all of it)."""
        q, k, v, out = (read(f"{self.name}.{part}.weight") for part in ("q", "k", "v", "out"))
        return HeadMatrices(q=q, k=k, v=v, out=out, head_dim=self.head_dim)


def attention_places(model: LanguageModel) -> list[AttentionPlace]:
    """Return the attention layers of the blocks, none of an RNN, nor where an adapter stands beside a weight."""
    found = []
    for layer, block in enumerate(model.blocks):
        for name, module in block.named_modules():
            plain = isinstance(module, Attention) and all(
                type(part) is nn.Linear for part in (module.q, module.k, module.v, module.out)
            )
            if isinstance(module, Attention) and plain:
                found.append(AttentionPlace(layer, f"blocks.{layer}.{name}", module.head_dim))
    return found
