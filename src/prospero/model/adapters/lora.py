"""LoRA: a product of two thin matrices beside each frozen one (Hu et al. 2021, arXiv:2106.09685).

A linear layer becomes y = W x + alpha / rank B (A x) and keeps its class's name for the frozen weight; only its class
changes, so that sharding, tensor parallelism and compiling see an `nn.Linear`. The matrices of torch's recurrent layers
are no layers of their own: there the product is added to the weight each time it is read (a parametrization).

Shapes: r rank, I inputs, O outputs of a matrix.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from prospero.errors import ConfigError
from prospero.model.adapters.base import Adapter, check_names, freeze, stands_for
from prospero.model.base import LanguageModel

A, B = "lora_A", "lora_B"
_LAYER_OF_RNN = "_l0"  # each layer here is a torch layer of its own


@dataclass(kw_only=True, slots=True)
class LoRAConfig:
    """Low-rank adaptation: the matrices of the blocks stay, and each gets a trained product of two thin ones."""

    rank: int = 8
    """Rank of the product."""
    alpha: float = 16.0
    """The product is multiplied by alpha / rank."""
    dropout: float = 0.0
    """Share of a layer's inputs that the product does not see; linear layers only."""
    targets: list[str] | None = None
    """Matrices that are adapted, by any name on their path: attention, feed_forward, q, up, blocks.3, ... (of an LSTM
    or GRU: weight_ih, weight_hh); null: all matrices of the blocks."""

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ConfigError(f"rank={self.rank} is impossible; choose at least 1")
        if not 0 < self.alpha < math.inf:
            raise ConfigError(f"alpha={self.alpha} is impossible; choose a number above 0")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout={self.dropout} is impossible; choose a share from 0 to below 1")
        if self.targets is not None and not self.targets:
            raise ConfigError("targets=[] adapts nothing; name matrices, such as [attention], or null for all")

    def build(self) -> "LoRA":
        """Return the adapter."""
        return LoRA(self)


class LoRALinear(nn.Linear):
    """A linear layer whose frozen weight has a trained product of low rank beside it."""

    lora_A: nn.Parameter
    lora_B: nn.Parameter
    scale: float
    lora_dropout: float

    def forward(self, input: Tensor) -> Tensor:
        """Return W x + b + scale B (A x) of x [..., I], [..., O]."""
        seen = F.dropout(input, self.lora_dropout, self.training) if self.lora_dropout else input
        return F.linear(input, self.weight, self.bias) + F.linear(F.linear(seen, self.lora_A), self.lora_B) * self.scale


class LowRank(nn.Module):
    """W -> W + scale B A, for a weight that is read as a tensor."""

    def __init__(self, lora_A: nn.Parameter, lora_B: nn.Parameter, scale: float) -> None:
        super().__init__()
        self.lora_A, self.lora_B, self.scale = lora_A, lora_B, scale

    def forward(self, weight: Tensor) -> Tensor:
        """Return the sum, [O, I]."""
        return weight + self.scale * (self.lora_B @ self.lora_A)


@dataclass(frozen=True, slots=True)
class _Matrix:
    """A matrix that can be adapted: the parameter `name` of `layer`, at `path` in the model."""

    path: str
    layer: nn.Module
    name: str

    @property
    def recurrent(self) -> bool:
        return isinstance(self.layer, nn.RNNBase)


class LoRA(Adapter):
    """Freezes the model and adds lora_A, lora_B to the chosen matrices."""

    def __init__(self, config: LoRAConfig) -> None:
        self.config = config

    @property
    def scale(self) -> float:
        """What the product is multiplied by."""
        return self.config.alpha / self.config.rank

    def apply(self, model: LanguageModel) -> None:
        """Add the two matrices: A drawn as a linear layer's weight is, from the run's seed alone, B zero."""
        chosen = self._chosen(model)
        generator = torch.Generator().manual_seed(torch.initial_seed() % 2**63)  # whatever was drawn before
        freeze(model)
        for matrix in chosen:
            weight = matrix.layer.get_parameter(matrix.name)
            first = torch.empty(self.config.rank, weight.shape[1])
            first.uniform_(-1 / math.sqrt(weight.shape[1]), 1 / math.sqrt(weight.shape[1]), generator=generator)
            second = torch.zeros(weight.shape[0], self.config.rank)
            pair = (_parameter(first, weight), _parameter(second, weight))
            if matrix.recurrent:
                parametrize.register_parametrization(matrix.layer, matrix.name, LowRank(*pair, self.scale))
            else:
                _adapt(matrix.layer, *pair, self.scale, self.config.dropout)

    @torch.no_grad()
    def merge(self, model: LanguageModel) -> None:
        """Add the products to the frozen matrices and let everything be trained again."""
        for layer in list(model.modules()):
            if isinstance(layer, LoRALinear):
                layer.weight += layer.scale * (layer.lora_B @ layer.lora_A)
                del layer.lora_A, layer.lora_B, layer.scale, layer.lora_dropout
                layer.__class__ = nn.Linear  # pyright: ignore[reportAttributeAccessIssue]
            elif isinstance(layer, nn.RNNBase) and parametrize.is_parametrized(layer):
                for name in list(_parametrizations(layer)):
                    parametrize.remove_parametrizations(layer, name)
        model.requires_grad_(True)

    def added(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the two matrices of every adapted one."""
        return {name: tensor for name, tensor in state.items() if name.endswith((f".{A}", f".{B}"))}

    def base_name(self, name: str) -> str:
        """Take out what a parametrization adds to a name: `parametrizations.weight_ih_l0.original`."""
        return name.replace("parametrizations.", "").removesuffix(".original")

    def _chosen(self, model: LanguageModel) -> list[_Matrix]:
        found = list(_matrices(model))
        if not found:
            raise ConfigError(f"adapter=lora: the blocks of {type(model).__name__} have no matrix to adapt")
        targets = self.config.targets
        if targets is not None:
            check_names("adapter.targets", targets, [matrix.path for matrix in found], "matrix of the blocks")
            found = [matrix for matrix in found if any(stands_for(target, matrix.path) for target in targets)]
        if self.config.dropout and any(matrix.recurrent for matrix in found):
            raise ConfigError(
                f"adapter.dropout={self.config.dropout} drops inputs of linear layers, and recurrent ones do not show "
                "theirs; leave it at 0"
            )
        return found


def _matrices(model: LanguageModel) -> Iterator[_Matrix]:
    """Yield the matrices of the blocks. The head is none of them: losses read it as a tensor (`output_weight`)."""
    for path, layer in model.blocks.named_modules(prefix="blocks"):
        if type(layer) is nn.Linear:
            yield _Matrix(path, layer, "weight")
        elif isinstance(layer, nn.RNNBase):
            for name, parameter in layer.named_parameters(recurse=False):
                if parameter.dim() == 2:
                    yield _Matrix(f"{path}.{name.removesuffix(_LAYER_OF_RNN)}", layer, name)


def _parameter(values: Tensor, weight: Tensor) -> nn.Parameter:
    device = values.device if weight.is_meta else weight.device  # these few are drawn now, whatever comes later
    return nn.Parameter(values.to(device, weight.dtype))


def _adapt(layer: nn.Module, lora_A: nn.Parameter, lora_B: nn.Parameter, scale: float, dropout: float) -> None:
    layer.__class__ = LoRALinear
    assert isinstance(layer, LoRALinear)
    layer.lora_A, layer.lora_B, layer.scale, layer.lora_dropout = lora_A, lora_B, scale, dropout


def _parametrizations(layer: nn.Module) -> list[str]:
    found = layer.parametrizations
    assert isinstance(found, nn.ModuleDict)
    return list(found)
