"""Normalisation: root mean square (Zhang and Sennrich 2019, arXiv:1910.07467) and layer norm (Ba et al. 2016)."""

from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


class Norm(Enum):
    """Which normalisation stands before every layer."""

    rms = "rms"
    layer = "layer"


class RMSNorm(nn.Module):
    """x / rms(x) * weight over the last dimension; the mean is not subtracted and there is no bias."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x [..., width]; under autocast the result has autocast's dtype, for the product that follows."""
        dtype = product_dtype(x)
        if x.device.type == "cpu" and not torch.compiler.is_compiling():
            return _RMSNormCPU.apply(x, self.weight, self.eps, dtype)
        return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.eps).to(dtype)

    def reset_parameters(self) -> None:
        """Set the weight to one."""
        nn.init.ones_(self.weight)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]}, eps={self.eps}"


class _RMSNormCPU(torch.autograd.Function):
    """The same function in about half the time: torch 2.13 has no fused kernel on CPU and walks x a dozen times."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
        wide, width = x.to(_wide(x)), x.shape[-1]
        scale = torch.linalg.vector_norm(wide, dim=-1, keepdim=True).square_().div_(width).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, scale)
        return torch.mul(wide, scale).mul_(weight).to(dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x, weight, scale = ctx.saved_tensors
        wide, width = weight.to(scale.dtype), x.shape[-1]
        normal = x * scale
        product = (grad * normal).reshape(-1, width)
        projection = torch.mv(product, wide).div_(width).view_as(scale)
        grad_x = torch.mul(grad, wide).addcmul_(normal, projection, value=-1).mul_(scale)
        return grad_x.to(x.dtype), product.sum(0).to(weight.dtype), None, None


def _wide(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


class LayerNorm(nn.LayerNorm):
    """Layer norm whose result has autocast's dtype, for the product that follows."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise input [..., width]."""
        return super().forward(input).to(product_dtype(input))


def make_norm(norm: Norm, width: int, eps: float, bias: bool) -> RMSNorm | LayerNorm:
    """Build the normalisation called `norm`; `bias` concerns layer norm only."""
    return RMSNorm(width, eps) if norm is Norm.rms else LayerNorm(width, eps=eps, bias=bias)


def product_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype in which the next matrix product will run: autocast's where it is on, else that of `x`.

    Casting once after the norm, and not in each of the three or two products that read it, saves passes over memory.
    """
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
