"""Where a forward pass can be read and changed: the points that a model names, and the tap inside a layer.

Most points are the input or the output of a module, where torch's own hooks stand. What never leaves a layer (scores of
attention, gates of an RNN) passes through a `Tap`, which the layer asks for only while somebody listens.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from torch import Tensor, nn


class Change(Protocol):
    """What is put at a point."""

    def __call__(self, there: Tensor, time: int | None = None) -> Tensor:
        """Return what goes on in place of what is there; `time` where it is of one token alone, with T = 1."""
        ...


Reader = Callable[[Tensor], None]
"""Gets what goes on from a point."""


@dataclass(slots=True)
class Tap:
    """What is read and changed inside one layer, by the names of its inner points."""

    changes: dict[str, list[Change]] = field(default_factory=dict)
    readers: dict[str, list[Reader]] = field(default_factory=dict)

    def __call__(self, name: str, value: Tensor) -> Tensor:
        """Pass `value` through the changes of the point, show it to the readers, and return it."""
        for change in self.changes.get(name, ()):
            value = change(value)
        for read in self.readers.get(name, ()):
            read(value)
        return value

    def wants(self, *names: str) -> bool:
        """Whether anybody listens at one of these points."""
        return any(name in self.changes or name in self.readers for name in names)


class Tapped(Protocol):
    """A layer with points inside."""

    tap: Tap | None
    """Asked by `forward`; None while nobody listens."""


class Side(Enum):
    """Which side of a module a point is on."""

    input = "input"
    output = "output"


@dataclass(frozen=True, slots=True)
class ModulePoint:
    """The first input, or the output, of a module."""

    module: nn.Module
    side: Side
    heads: int | None = None
    """Width of a head where the last axis [..., N H] holds several, and is shown as [..., N, H]; None: as it is."""


@dataclass(frozen=True, slots=True)
class InnerPoint:
    """A point inside a layer."""

    layer: Tapped
    name: str


Point = ModulePoint | InnerPoint


class Passage(nn.Module):
    """Hands on what it gets: a place in a forward pass that can be read and changed, and the tap of the layer there."""

    def __init__(self) -> None:
        super().__init__()
        self.tap: Tap | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return x."""
        return x
