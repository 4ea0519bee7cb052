"""The graph of a Transformer, traced from the model itself, so that every switch of its blocks comes along.

What attention looks back to enters as `past_key_<layer>`, `past_value_<layer>` [batch, kv_heads, past, head_dim] and
leaves, with the new tokens, as `present_...`; `past` may be 0, so that one file reads a prompt and goes on from it.

Shapes: B batch, T time, P past, S = P + T, K key/value heads, H head_dim, D d_model.
"""

import copy
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from prospero.model.cache import KVCache
from prospero.model.layers.attention import Attention, AttentionKernel
from prospero.model.layers.lookback import Shift
from prospero.model.transformer import Transformer

if TYPE_CHECKING:
    import onnx_ir as ir

OPSET = 20
"""Version of the standard operators: the newest that onnxruntime, TensorRT and the converters of 2025 all read."""


class PastCache(KVCache):
    """Keys and values as plain tensors that grow by concatenation; nothing in it depends on a number of tokens.

    `previous` holds what the one-token look-back saw last, zeros at the start of a text.
    """

    def __init__(
        self, keys: Sequence[Tensor], values: Sequence[Tensor], previous: dict[str, Tensor], room: int
    ) -> None:
        super().__init__(len(keys), keys[0].shape[0], room)
        self.keys, self.values = list(keys), list(values)
        self.length = keys[0].shape[2]
        self.previous = previous

    def reserve(self, time: int) -> None:
        """Take no memory: `update` does."""

    def mask(self, positions: Tensor, dtype: torch.dtype, window: int = 0) -> Tensor:
        """Return [T, S], always: whether it is needed would depend on the number of tokens."""
        keys = torch.arange(self.length + positions.shape[-1], device=positions.device)
        hidden = keys > positions.unsqueeze(-1)
        if window:
            hidden = hidden | (keys <= positions.unsqueeze(-1) - window)
        return torch.zeros(hidden.shape, dtype=dtype, device=hidden.device).masked_fill(hidden, float("-inf"))

    def update(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Append k, v [B, K, T, H] and return all so far, [B, K, S, H]."""
        keys, values = self.keys[layer], self.values[layer]
        assert keys is not None and values is not None
        self.keys[layer], self.values[layer] = torch.cat((keys, k), dim=2), torch.cat((values, v), dim=2)
        return self.keys[layer], self.values[layer]  # type: ignore[return-value]

    def advance(self, time: int) -> None:
        """Count nothing: the next pass reads the length from the tensors it is given."""


class _Whole(nn.Module):
    """input_ids [B, T] -> logits [B, T, V], as the continuation of nothing: the mask then asks for no length."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor) -> Tensor:
        c = self.model.config
        empty = torch.zeros(input_ids.shape[0], c.n_kv_heads or c.n_heads, 0, c.head_width)
        past = [empty] * c.n_layers
        return self.model(input_ids, cache=PastCache(past, past, {}, self.model.max_seq_len)).logits


class _Continued(nn.Module):
    """input_ids [B, T] and the past -> logits [B, T, V] and the past with these tokens."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.model = model
        self.lookbacks = lookback_names(model)

    def forward(self, input_ids: Tensor, past: list[Tensor]) -> tuple[Tensor, ...]:
        n_layers = self.model.config.n_layers
        keys, values, previous = past[: 2 * n_layers : 2], past[1 : 2 * n_layers : 2], past[2 * n_layers :]
        cache = PastCache(keys, values, dict(zip(self.lookbacks, previous)), self.model.max_seq_len)
        logits = self.model(input_ids, cache=cache).logits
        attended = [part for pair in zip(cache.keys, cache.values) for part in pair if part is not None]
        return logits, *attended, *(cache.previous[name] for name in self.lookbacks)


def lookback_names(model: Transformer) -> list[str]:
    """Return the names under which the model's look-backs keep the token before."""
    names = ["smear"] if model.smear is not None else []
    return names + [module.name for module in model.modules() if isinstance(module, Shift)]


def transformer_graph(model: Transformer, *, cache: bool) -> "ir.Model":
    """Return the graph of `model` (float32, on CPU), with a past in and out when `cache`; batch and time are free."""
    c = model.config
    states = [f"{kind}_{layer}" for layer in range(c.n_layers) for kind in ("key", "value")]
    lookbacks = [f"previous_{name.replace('.', '_')}" for name in lookback_names(model)]
    batch, time, past, longest = 2, 5, 3, max(model.max_seq_len, 8)
    ids = torch.zeros(batch, time, dtype=torch.long)
    kv = torch.zeros(batch, c.n_kv_heads or c.n_heads, past, c.head_width)
    last = torch.zeros(batch, 1, c.d_model)
    free = torch.export.Dim
    rows, steps, held = free("batch"), free("time", max=longest), free("past", max=longest)
    with _free_of_lengths(model, 2 * longest) as unbounded:
        if cache:
            arguments = (ids, [kv.clone() for _ in states] + [last.clone() for _ in lookbacks])
            shapes = ({0: rows, 1: steps}, [{0: rows, 2: held} for _ in states] + [{0: rows} for _ in lookbacks])
            module, names = _Continued(unbounded), [*states, *lookbacks]
        else:
            arguments, shapes, module, names = (ids,), ({0: rows, 1: steps},), _Whole(unbounded), []
        program = torch.export.export(
            module.eval(),
            arguments,
            dynamic_shapes=shapes,
            strict=False,
            # The look-back's slice of time - 1 tokens would else be guarded against being one token long.
            prefer_deferred_runtime_asserts_over_guards=True,
        )
        exported = torch.onnx.export(
            program,
            dynamo=True,
            input_names=["input_ids", *(f"past_{name}" for name in names)],
            output_names=["logits", *(f"present_{name}" for name in names)],
            opset_version=OPSET,
            verbose=False,
        )
    assert exported is not None
    return exported.model  # type: ignore[return-value]


@contextmanager
def _free_of_lengths(model: Transformer, room: int) -> Iterator[Transformer]:
    """Give the model with the same weights and nothing in its forward pass that asks how long a text is.

    `room` is above anything that can come, so that the check against max_seq_len, which no graph can say, falls away.
    The kernel that works in blocks is for real numbers of tokens; torch's own takes any.
    """
    unbounded = copy.copy(model)
    unbounded.max_seq_len = room
    attentions = [module for module in model.modules() if isinstance(module, Attention)]
    kernels = [attention.kernel for attention in attentions]
    exporter = logging.getLogger("torch.onnx")  # it warns of packages for pictures that are not there
    level = exporter.level
    try:
        exporter.setLevel(logging.ERROR)
        for attention in attentions:
            attention.kernel = AttentionKernel.sdpa
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's exporter about itself
            yield unbounded
    finally:
        exporter.setLevel(level)
        for attention, kernel in zip(attentions, kernels):
            attention.kernel = kernel
