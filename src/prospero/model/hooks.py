"""Reading and changing the inside of a model while it reads: `with record(...)`, `with replace(...)`.

    with record(model, ["block.*.residual", "block.3.attention.weights"]) as found:
        model(input_ids)
    found["block.3.attention.weights"]  # [B, N, T, S]

    with replace(model, {"block.3.residual": lambda x: 0 * x}):
        model(input_ids)

Points of the Transformer, b = 0, 1, ... (all in `Transformer.points`):

    embedding                                   [B, T, D]   what the first block reads
    block.b.attention.input                     [B, T, D]   what attention reads, after the norm
    block.b.attention.queries | keys | values   [B, N | K, T, H]   after norm and rotation
    block.b.attention.scores | weights          [B, N, T, S]   before (masked) and after the softmax
    block.b.attention.heads                     [B, T, N, H]   of each head, before the output product
    block.b.attention.output                    [B, T, D]   what is added to the residual stream
    block.b.middle                              [B, T, D]   the residual stream between the two layers
    block.b.feed_forward.input | hidden | output   [B, T, D | F | D]
    block.b.residual                            [B, T, D]   the residual stream after the block
    hidden                                      [B, T, D]   after the last norm

and of the RNNs: embedding, block.b.gates.input | forget | cell | output (LSTM) or reset | update | new (GRU),
block.b.output, hidden, all [B, T, D].

Nothing is copied or detached: what is recorded is part of the graph where there is one. A change is made before a
recording sees the point, whichever of the two was opened first. While nobody listens the layers are as they were.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor

from prospero.errors import ConfigError, suggest
from prospero.model.base import LanguageModel
from prospero.model.taps import Change, InnerPoint, ModulePoint, Point, Reader, Side, Tap


def points(model: LanguageModel) -> list[str]:
    """Return the names of all points of a model, in the order in which a forward pass meets them."""
    return list(model.points())


def matching(model: LanguageModel, patterns: Sequence[str]) -> list[str]:
    """Return the names of the points that `patterns` (with *) mean; ConfigError for one that means none."""
    known, found = points(model), dict[str, None]()
    for pattern in patterns:
        names = [name for name in known if fnmatchcase(name, pattern)]
        if not names:
            raise ConfigError(
                f"'{pattern}' is no point of a {type(model).__name__}.{suggest(pattern, known)} It has {_short(known)}"
            )
        found.update(dict.fromkeys(names))
    return list(found)


@contextmanager
def record(model: LanguageModel, patterns: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Yield a dictionary that every forward pass fills, name of the point -> what stood there; the latest pass counts.

    Raises ConfigError for a pattern without a point.
    """
    found: dict[str, Tensor] = {}

    def reader(name: str) -> Reader:
        return lambda value: found.__setitem__(name, value)

    where = model.points()
    with ExitStack() as stack:
        stack.enter_context(uncompiled())
        for name in matching(model, patterns):
            stack.enter_context(_reading(where[name], reader(name)))
        yield found


@contextmanager
def replace(model: LanguageModel, values: Mapping[str, Tensor | Callable[[Tensor], Tensor]]) -> Iterator[None]:
    """Put other values at points: a tensor (broadcast to the shape that it replaces), or a function of what is there.

    A function of a gate is called for each token in turn, with [B, 1, D]. Raises ConfigError for a pattern without a
    point, ValueError (in the forward pass) for a shape that does not fit.
    """
    where = model.points()
    with ExitStack() as stack:
        stack.enter_context(uncompiled())
        for pattern, value in values.items():
            for name in matching(model, [pattern]):
                stack.enter_context(_changing(where[name], _change(name, value)))
        yield


def _change(name: str, given: Tensor | Callable[[Tensor], Tensor]) -> Change:
    def changed(there: Tensor, time: int | None = None) -> Tensor:
        new = given if isinstance(given, Tensor) else given(there)
        if time is not None and isinstance(given, Tensor) and given.dim() == 3 and given.shape[1] > 1:
            new = given[:, time : time + 1]
        if new.shape == there.shape:
            return new
        try:
            return new.expand_as(there)
        except RuntimeError:
            raise ValueError(f"{name} holds {list(there.shape)}, and {list(new.shape)} does not fit there") from None

    return changed


def _reading(point: Point, reader: Reader) -> Any:
    if isinstance(point, InnerPoint):
        return _tapped(point, lambda tap: tap.readers, reader)

    def read(value: Tensor) -> None:
        reader(_shown(point, value))

    return _hooked(point, read, first=False)


def _changing(point: Point, change: Change) -> Any:
    if isinstance(point, InnerPoint):
        return _tapped(point, lambda tap: tap.changes, change)

    def changed(value: Tensor) -> Tensor:
        return change(_shown(point, value)).reshape(value.shape)

    return _hooked(point, changed, first=True)


def _shown(point: ModulePoint, value: Tensor) -> Tensor:
    return value if point.heads is None else value.unflatten(-1, (-1, point.heads))


def _hooked(point: ModulePoint, act: Callable[[Tensor], Tensor | None], *, first: bool) -> Any:
    """Return a torch hook, which is its own context; those of changes stand `first`, so that readings see them."""
    if point.side is Side.input:

        def before(_: Any, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
            new = act(args[0])
            return None if new is None else (new, *args[1:])

        return point.module.register_forward_pre_hook(before, prepend=first)

    def after(_: Any, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        return act(output)

    return point.module.register_forward_hook(after, prepend=first)


@contextmanager
def _tapped(point: InnerPoint, side: Callable[[Tap], dict[str, list[Any]]], act: Any) -> Iterator[None]:
    if point.layer.tap is None:
        point.layer.tap = Tap()
    tap = point.layer.tap
    side(tap).setdefault(point.name, []).append(act)
    try:
        yield
    finally:
        side(tap)[point.name].remove(act)
        if not side(tap)[point.name]:
            del side(tap)[point.name]
        if not tap.changes and not tap.readers:
            point.layer.tap = None


def uncompiled() -> Any:
    """Return a context in which compiled models run as written: a compiled graph does not see a hook."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


def _short(known: Sequence[str]) -> str:
    first = [name for name in known if not name.startswith("block.") or name.startswith("block.0.")]
    return ", ".join(name.replace("block.0.", "block.b.") for name in first)
