"""Recurrent layers written out, token by token, with their gates passed through a tap: for whoever looks inside.

The algebra of `torch.nn.LSTM` (Hochreiter and Schmidhuber 1997) and `torch.nn.GRU` (Cho et al. 2014), one layer, in one
direction, batch first, with torch's order of the gates in its matrices.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from prospero.model.taps import Tap

GATES = {nn.LSTM: ("input", "forget", "cell", "output"), nn.GRU: ("reset", "update", "new")}
"""In torch's order. `cell` and `new` are the candidates (after the tanh), the others lie between 0 and 1."""


def gate_names(layer: nn.Module) -> tuple[str, ...]:
    """Return the names of the gates of an LSTM or a GRU."""
    return next(names for kind, names in GATES.items() if isinstance(layer, kind))


def unrolled(layer: nn.Module, tap: Tap) -> Callable[..., Any]:
    """Return a function with the arguments and results of the layer that shows every gate to `tap`.

    It raises ValueError for packed documents: a gate is shown as [B, T, D].
    """

    def run(x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        if isinstance(x, PackedSequence):
            raise ValueError("the gates of an RNN can be read of rows that are one text each, without document bounds")
        gates = _Gates(tap, gate_names(layer))
        return (_lstm if isinstance(layer, nn.LSTM) else _gru)(_Matrices.of(layer), x, state, gates)

    return run


@dataclass(frozen=True, slots=True)
class _Matrices:
    """The parameters of a layer: what is multiplied with its input, and with its state."""

    inputs: tuple[Tensor, Tensor]
    state: tuple[Tensor, Tensor]

    @classmethod
    def of(cls, layer: nn.Module) -> "_Matrices":
        known = dict(layer.named_parameters())
        first, second = ((known[f"weight_{side}_l0"], known[f"bias_{side}_l0"]) for side in ("ih", "hh"))
        return cls(first, second)

    def rest(self, x: Tensor) -> Tensor:
        """Return a state of zeros [B, D]."""
        return x.new_zeros(len(x), self.state[0].shape[1])


def _lstm(by: _Matrices, x: Tensor, state: Any, gates: "_Gates") -> tuple[Tensor, Any]:
    from_input, out = F.linear(x, *by.inputs), []  # [B, T, 4 D]
    h, c = (by.rest(x), by.rest(x)) if state is None else (state[0][0], state[1][0])
    for time in range(x.shape[1]):
        i, f, g, o = (from_input[:, time] + F.linear(h, *by.state)).chunk(4, dim=-1)
        i, f = gates("input", time, i.sigmoid()), gates("forget", time, f.sigmoid())
        g, o = gates("cell", time, g.tanh()), gates("output", time, o.sigmoid())
        c = f * c + i * g
        h = o * c.tanh()
        out.append(h)
    gates.show()
    return torch.stack(out, dim=1), (h.unsqueeze(0), c.unsqueeze(0))


def _gru(by: _Matrices, x: Tensor, state: Any, gates: "_Gates") -> tuple[Tensor, Any]:
    from_input, out = F.linear(x, *by.inputs), []  # [B, T, 3 D]
    h = by.rest(x) if state is None else state[0]
    for time in range(x.shape[1]):
        r, z, n = from_input[:, time].chunk(3, dim=-1)
        own_r, own_z, own_n = F.linear(h, *by.state).chunk(3, dim=-1)
        r = gates("reset", time, (r + own_r).sigmoid())
        z = gates("update", time, (z + own_z).sigmoid())
        n = gates("new", time, (n + r * own_n).tanh())
        h = (1 - z) * n + z * h
        out.append(h)
    gates.show()
    return torch.stack(out, dim=1), h.unsqueeze(0)


class _Gates:
    """Changes gates as they come, and shows them to the readers when all tokens are read."""

    def __init__(self, tap: Tap, names: tuple[str, ...]) -> None:
        self.tap, self.held = tap, {name: list[Tensor]() for name in names}

    def __call__(self, name: str, time: int, value: Tensor) -> Tensor:
        for change in self.tap.changes.get(name, ()):
            value = change(value.unsqueeze(1), time).squeeze(1)
        self.held[name].append(value)
        return value

    def show(self) -> None:
        for name, values in self.held.items():
            for read in self.tap.readers.get(name, ()):
                read(torch.stack(values, dim=1))
