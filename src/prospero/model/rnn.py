"""Recurrent language models: LSTM (Hochreiter and Schmidhuber 1997; Gers et al. 2000) and GRU (Cho et al. 2014).

Layers are torch's own kernels, one `nn.LSTM` or `nn.GRU` each, with dropout between them; `hidden` of the output is the
last layer's activations, so that the regularisers AR and TAR (Merity et al. 2017, arXiv:1708.02182) can read them.

Shapes: B batch, T time, E embedding, D d_model, V vocabulary, S documents packed into the batch.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from prospero.errors import ConfigError
from prospero.model.base import LanguageModel, ModelOutput
from prospero.model.cache import RecurrentState
from prospero.model.layers.head import vocabulary_product
from prospero.model.layers.recurrence import gate_names, unrolled
from prospero.model.taps import InnerPoint, ModulePoint, Passage, Point, Side


@dataclass(kw_only=True, slots=True)
class RNNConfig:
    """What the recurrent models have in common."""

    n_layers: int = 2
    """Number of recurrent layers."""
    d_model: int = 384
    """Width of every layer's state."""
    d_embedding: int | None = None
    """Width of the token embedding; null: d_model."""
    tie_embeddings: bool = False
    """Use the embedding matrix as the output matrix too, through a projection where d_embedding is not d_model."""
    dropout: float = 0.0
    """Share of activations dropped: embeddings, between layers, and after the last."""
    locked_dropout: bool = False
    """Drop the same channels at every position of a sequence (variational dropout, Gal and Ghahramani 2016)."""
    document_attention: bool = False
    """Start the state anew at the bounds of documents packed into one sequence."""

    def __post_init__(self) -> None:
        for name in ("n_layers", "d_model", "d_embedding"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name}={value} is impossible; choose at least 1")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout={self.dropout} is impossible; choose a share from 0 to below 1")
        if self.locked_dropout and self.dropout == 0:
            raise ConfigError("locked_dropout=true drops nothing with dropout=0; set dropout above 0")


@dataclass(kw_only=True, slots=True)
class LSTMConfig(RNNConfig):
    """Long short-term memory."""

    def build(self, vocab_size: int, max_seq_len: int) -> "RNN":
        """Build the model with fresh weights."""
        return RNN(self, nn.LSTM, vocab_size, max_seq_len)


@dataclass(kw_only=True, slots=True)
class GRUConfig(RNNConfig):
    """Gated recurrent unit."""

    def build(self, vocab_size: int, max_seq_len: int) -> "RNN":
        """Build the model with fresh weights."""
        return RNN(self, nn.GRU, vocab_size, max_seq_len)


class RNN(LanguageModel):
    """Embedding, recurrent layers, head. `max_seq_len` is what it is trained on; it reads any length."""

    def __init__(
        self, config: RNNConfig, layer: type[nn.LSTM] | type[nn.GRU], vocab_size: int, max_seq_len: int
    ) -> None:
        super().__init__(vocab_size, max_seq_len, config.d_model)
        c = self.config = config
        width = c.d_embedding or c.d_model
        self.embedding = nn.Embedding(vocab_size, width)
        inputs = [width] + [c.d_model] * (c.n_layers - 1)
        self.blocks = nn.ModuleList(layer(size, c.d_model, batch_first=True) for size in inputs)
        self.passages = nn.ModuleList(Passage() for _ in range(c.n_layers + 1))
        bridged = c.tie_embeddings and width != c.d_model
        self.projection = nn.Linear(c.d_model, width, bias=False) if bridged else None
        self.head = None if c.tie_embeddings else nn.Linear(c.d_model, vocab_size, bias=False)
        self.reset_parameters()

    def forward(
        self,
        input_ids: Tensor,
        *,
        document_ids: Tensor | None = None,
        cache: RecurrentState | None = None,
        logits: bool = True,
    ) -> ModelOutput:
        """Read `input_ids` [B, T]; see `LanguageModel.forward`."""
        if not self.config.document_attention:
            document_ids = None
        if cache is not None and document_ids is not None:
            raise ValueError("a cache continues one document per row; give document_ids or a cache, not both")
        incoming = None if cache is None else cache.incoming
        ragged = document_ids is not None or incoming is not None
        packing = _Packing(input_ids, document_ids, incoming) if ragged else None

        entry, *after = self._typed_passages()
        x = entry(self._dropout(self.noisy(self.embedding(input_ids), document_ids)))  # [B, T, E]
        for index, (block, passage) in enumerate(zip(self.blocks, after)):
            layer = block if passage.tap is None else unrolled(block, passage.tap)
            state = None if cache is None else cache.states[index]
            x, state = layer(x, _for_layer(state)) if packing is None else packing.run(layer, x, state)
            if cache is not None:
                cache.states[index] = state if isinstance(state, tuple) else (state,)
            x = passage(self._dropout(x))  # [B, T, D]
        if cache is not None:
            cache.advance(input_ids.shape[1])
        return ModelOutput(x, self.project(x) if logits else None, cache)

    def project(self, hidden: Tensor) -> Tensor:
        """Return the logits [..., V] of `hidden` [..., D]."""
        if self.head is not None:
            return vocabulary_product(hidden, self.head.weight)
        return vocabulary_product(hidden if self.projection is None else self.projection(hidden), self.embedding.weight)

    def output_weight(self) -> Tensor:
        """Return the matrix [V, D] of the head, multiplied out where it consists of two."""
        if self.head is not None:
            return self.head.weight
        weight = self.embedding.weight
        return weight if self.projection is None else weight @ self.projection.weight

    def new_cache(self, batch_size: int, max_len: int) -> RecurrentState:
        """Return the state before the first token; it does not grow, and `max_len` is no bound."""
        return RecurrentState(len(self.blocks), batch_size, max_len)

    def points(self) -> dict[str, Point]:
        """Return the places at which a forward pass can be read and changed; hooks.py says what stands there."""
        entry, *after = self._typed_passages()
        found: dict[str, Point] = {"embedding": ModulePoint(entry, Side.output)}
        for b, passage in enumerate(after):
            gates = gate_names(self.blocks[b])
            found.update({f"block.{b}.gates.{gate}": InnerPoint(passage, gate) for gate in gates})
            found[f"block.{b}.output"] = ModulePoint(passage, Side.output)
        return {**found, "hidden": ModulePoint(after[-1], Side.output)}

    def _typed_passages(self) -> list[Passage]:
        return [passage for passage in self.passages if isinstance(passage, Passage)]

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw all weights anew: torch's uniform +-1/sqrt(D), biases 0, the forget gate's 1.

        Jozefowicz et al. 2015 found that last one to matter most.
        """
        width = self.d_model
        nn.init.normal_(self.embedding.weight, std=0.1)
        for layer in self.blocks:
            for name, parameter in layer.named_parameters():
                if "weight" in name:
                    nn.init.uniform_(parameter, -1 / math.sqrt(width), 1 / math.sqrt(width))
                else:
                    nn.init.zeros_(parameter)
                    if isinstance(layer, nn.LSTM) and name == "bias_ih_l0":
                        parameter[width : 2 * width] = 1.0  # torch's order: input, forget, cell, output
        for linear in (self.projection, self.head):
            if linear is not None:
                nn.init.normal_(linear.weight, std=1 / math.sqrt(width))

    def _dropout(self, x: Tensor) -> Tensor:
        """Drop channels of x [B, T, D]: each place by itself, or the same ones at all places of a row."""
        rate = self.config.dropout
        if not self.training or rate == 0:
            return x
        if self.config.locked_dropout:
            return x * F.dropout(torch.ones_like(x[:, :1]), rate)
        return F.dropout(x, rate)


def _for_layer(state: tuple[Tensor, ...] | None) -> tuple[Tensor, ...] | Tensor | None:
    """Give a stored state in the form torch wants: (h, c) for the LSTM, h for the GRU, each [1, B, D]."""
    return state[0] if state is not None and len(state) == 1 else state


class _Packing:
    """The documents of a batch as S sequences of their own, run side by side from fresh states, nothing padded.

    The first document of a row goes on from the row's state. Exact, and no slower than whole rows: the kernel walks as
    many steps as the longest document has tokens.
    """

    def __init__(self, input_ids: Tensor, document_ids: Tensor | None, incoming: Tensor | None) -> None:
        (self.batch, self.time), device = input_ids.shape, input_ids.device
        starts = torch.zeros(self.batch, self.time, dtype=torch.bool, device=device)
        starts[:, 0] = True
        if document_ids is not None:
            starts[:, 1:] = document_ids[:, 1:] != document_ids[:, :-1]
        real = torch.ones_like(starts)
        if incoming is not None:
            real = torch.arange(self.time, device=device) < incoming.unsqueeze(1)

        document = starts.flatten().cumsum(0) - 1  # [B * T] -> which of the S documents
        first = starts.flatten().nonzero().squeeze(1)  # [S]
        offset = torch.arange(self.batch * self.time, device=device) - first[document]
        kept = real.flatten().nonzero().squeeze(1)
        lengths = torch.bincount(document[kept], minlength=len(first))
        order = torch.argsort(lengths, descending=True, stable=True)  # PackedSequence: the longest first
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(first), device=device)
        self.index = kept[torch.argsort(offset[kept] * len(first) + rank[document[kept]])]  # by step, then by rank
        self.sizes = torch.bincount(offset[kept]).cpu()  # documents still running at each step
        self.opening = rank[document.view(self.batch, self.time)[:, 0]]  # [B]: each row's first document
        self.closing = rank[document.view(self.batch, self.time)[:, -1]]  # [B]: and its last
        self.documents = len(first)

    def run(
        self, layer: Callable[..., Any], x: Tensor, state: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, tuple[Tensor, ...] | Tensor]:
        """Apply a recurrent layer to x [B, T, E]; returns [B, T, D] (zero at padding) and the state after each row."""
        packed = PackedSequence(x.flatten(0, 1)[self.index], self.sizes)
        start = None
        if state is not None:
            start = _for_layer(tuple(self._spread(part) for part in state))
        out, end = layer(packed, start)
        y = out.data.new_zeros(self.batch * self.time, out.data.shape[-1]).index_copy(0, self.index, out.data)
        end = tuple(part[:, self.closing] for part in end) if isinstance(end, tuple) else end[:, self.closing]
        return y.view(self.batch, self.time, -1), end

    def _spread(self, part: Tensor) -> Tensor:
        """Put a state [1, B, D] at the first document of each row, zero at all others: [1, S, D]."""
        return part.new_zeros(1, self.documents, part.shape[-1]).index_copy(1, self.opening, part)
