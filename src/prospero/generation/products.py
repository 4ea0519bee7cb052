"""Products with weights that never change, packed for the precision they are held in.

float32   the matrix transposed, which the library multiplies few rows with faster; for many rows as it was, too
bf16      weights and inputs in bfloat16, half the memory to read
int8      each row of a weight as 8-bit integers times one float32; inputs are rounded to 8 bits anew for every product

Shapes: M rows, I inputs, O outputs.
"""

import warnings
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from prospero.errors import ConfigError
from prospero.generation.settings import Precision

MANY = 4
"""Rows from which on the untransposed matrix is faster (measured on one thread, widths 384 to 8192)."""


class Product(Protocol):
    """x W^T + bias (+ what to add), in float32."""

    def __call__(self, x: Tensor, more: Tensor | None = None) -> Tensor:
        """Return [M, O] of x [M, I]; `more` [M, O] is added."""
        ...


def product_of(weights: Sequence[Tensor], bias: Tensor | None, precision: Precision) -> Product:
    """Return the product with `weights` [O_i, I] below each other; ConfigError where the device has none such."""
    weight = torch.cat([weight.detach().float() for weight in weights])
    bias = None if bias is None else bias.detach().float()
    if precision is Precision.int8:
        return _Int8(weight, bias)
    return _BFloat16(weight, bias) if precision is Precision.bf16 else _Float32(weight, bias)


class _Float32:
    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.transposed, self.bias = weight.t().contiguous(), bias  # [I, O]
        self.column = None if bias is None else bias.unsqueeze(1)
        self.plain: Tensor | None = None  # [O, I], made when many rows first come

    def __call__(self, x: Tensor, more: Tensor | None = None) -> Tensor:
        if x.shape[0] >= MANY:
            if self.plain is None:
                self.plain = self.transposed.t().contiguous()
            columns = x.t()
            y = torch.mm(self.plain, columns) if self.column is None else torch.addmm(self.column, self.plain, columns)
            return y.t().contiguous() if more is None else more + y.t()
        if more is not None:
            return torch.addmm(more if self.bias is None else more + self.bias, x, self.transposed)
        return torch.mm(x, self.transposed) if self.bias is None else torch.addmm(self.bias, x, self.transposed)


class _BFloat16:
    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.weight, self.bias = weight.bfloat16(), None if bias is None else bias.bfloat16()

    def __call__(self, x: Tensor, more: Tensor | None = None) -> Tensor:
        y = F.linear(x.bfloat16(), self.weight, self.bias).float()
        return y if more is None else y.add_(more)


class _Int8:
    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        if weight.device.type != "cpu":
            raise ConfigError(f"precision=int8 is for the CPU, and the model is on {weight.device.type}; choose bf16")
        scales = weight.abs().amax(dim=1).clamp(min=1e-12) / 127
        zeros = torch.zeros(len(scales), dtype=torch.long)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch 2.13 announces the end of quantised tensors, not of the product
            quantised = torch.quantize_per_channel(weight, scales.double(), zeros, 0, torch.qint8)
            self.packed = torch.ops.quantized.linear_prepack(quantised, bias)

    def __call__(self, x: Tensor, more: Tensor | None = None) -> Tensor:
        y = torch.ops.quantized.linear_dynamic(x, self.packed, False)
        return y if more is None else y.add_(more)
