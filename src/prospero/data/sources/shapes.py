"""The embedded pictures: coloured shapes on a canvas, each with the sentence of a small grammar that it shows.

    one large red circle on the left          number, size, colour, shape, place

Place within the half, gaps and the shade of each shape vary; what the sentence says does not. Made by numpy alone, and
the same on every machine. Pictures of a share of the combinations stay together: those that fall to validation and test
are combinations that no training picture shows, while the other combinations are in all splits, in other pictures.
"""

import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from prospero.data.document import Document
from prospero.data.sources.captions import check_picture_size
from prospero.data.sources.source import SourceConfig
from prospero.errors import ConfigError

VERSION = 1
"""Raised when the same settings give other pictures or captions."""
NUMBERS = ("one", "two", "three")
SIZES = {"small": 0.085, "large": 0.14}
"""Half the width of a shape, as a share of the canvas."""
COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 180, 60),
    "blue": (50, 80, 230),
    "yellow": (235, 215, 50),
    "purple": (160, 60, 190),
    "white": (240, 240, 240),
}
SHAPES = ("circle", "square", "triangle")
PLACES = {"on the left": (0.0, 0.5), "on the right": (0.5, 1.0), "at the top": (0.0, 0.5), "at the bottom": (0.5, 1.0)}
"""Which half of the canvas holds all shapes, from and to, across or down."""
ATTRIBUTES = ("number", "size", "colour", "shape", "place")
_SENTENCE = re.compile(
    rf"({'|'.join(NUMBERS)}) ({'|'.join(SIZES)}) ({'|'.join(COLOURS)}) ({'|'.join(SHAPES)})s? ({'|'.join(PLACES)})"
)
Combination = tuple[int, str, str, str, str]


@dataclass(kw_only=True, slots=True)
class ShapesConfig(SourceConfig):
    """Coloured shapes and sentences about them, generated: no file, no download."""

    pictures: int = 12000
    """How many."""
    image_size: int = 32
    """Height and width of the canvas, in pixels."""
    channels: int = 3
    """3: red, green and blue; 1: grey, in which some colours look alike."""
    whole_combinations: float = 0.5
    """Share of the combinations whose pictures all go into one split: those of val and test are never trained on."""
    seed: int = 1
    """Of all that varies from picture to picture."""

    def __post_init__(self) -> None:
        SourceConfig.__post_init__(self)
        check_picture_size(self.image_size, self.channels)
        if self.image_size < 16:
            raise ConfigError(f"data.image_size={self.image_size}: the shapes need 16 pixels or more")
        if self.pictures < 1:
            raise ConfigError(f"data.pictures={self.pictures} makes none; choose 1 or more")
        if not 0 <= self.whole_combinations <= 1:
            raise ConfigError(f"data.whole_combinations={self.whole_combinations} is a share, from 0 to 1")

    def build(self) -> "ShapesSource":
        """Return the source."""
        return ShapesSource(self)


class ShapesSource:
    """Picture n shows the combination that a shuffle puts there; every combination is shown as often, but for one."""

    def __init__(self, config: ShapesConfig) -> None:
        self.config = config
        self.notes: Counter[str] = Counter()

    def documents(self) -> Iterator[Document]:
        """Make the pictures, each a document with a record {caption} and a picture."""
        c, every = self.config, combinations()
        for number in range(c.pictures):
            turn, place = divmod(number, len(every))
            order = np.random.Generator(np.random.PCG64([c.seed, 0, turn])).permutation(len(every))
            combination = every[order[place]]
            caption = sentence(combination)
            draws = np.random.Generator(np.random.PCG64([c.seed, 1, number]))
            picture = drawn(combination, c.image_size, draws)
            if c.channels == 1:
                picture = (picture @ np.array([0.299, 0.587, 0.114])).round().astype(np.uint8)[..., None]
            key = caption if _share(caption) < c.whole_combinations else f"picture {number}"
            record = {"caption": caption}
            yield Document(text="", id=f"shapes#{number}", source="shapes", record=record, key=key, picture=picture)

    def identity(self) -> dict[str, Any]:
        """Return the version of the drawing; the settings stand beside it."""
        return {"source": "shapes", "version": VERSION}

    def describe(self) -> str:
        """Return what is made."""
        c = self.config
        return f"{c.pictures:,} generated pictures of shapes, {c.image_size} x {c.image_size}"

    def size_bytes(self) -> int | None:
        """Return about what the captions take."""
        return 45 * self.config.pictures


def combinations() -> list[Combination]:
    """Return all that a picture can show: number, size, colour, shape, place."""
    return list(itertools.product(range(1, len(NUMBERS) + 1), SIZES, COLOURS, SHAPES, PLACES))


def sentence(combination: Combination) -> str:
    """Return the caption."""
    number, size, colour, shape, place = combination
    return f"{NUMBERS[number - 1]} {size} {colour} {shape}{'s' if number > 1 else ''} {place}"


def attributes(caption: str) -> dict[str, str] | None:
    """Return what a caption says, by attribute; None where it is no sentence of the grammar."""
    match = _SENTENCE.fullmatch(" ".join(caption.split()))
    return None if match is None else dict(zip(ATTRIBUTES, match.groups()))


def drawn(combination: Combination, size: int, draws: np.random.Generator) -> np.ndarray:
    """Return the picture, uint8 [size, size, 3]: the shapes in a row along the half that the place names.

    The row lies about the middle of that half, so that no picture is true of two places.
    """
    number, extent, colour, shape, place = combination
    canvas = np.full((size, size, 3), draws.integers(0, 50), np.float64) + draws.integers(-8, 9, 3)
    radius = SIZES[extent] * draws.uniform(0.92, 1.08)
    low, high = PLACES[place]
    middle = 0.5 + draws.uniform(-0.02, 0.02) * (4 - number)
    slots = middle + (np.arange(number) - (number - 1) / 2) * draws.uniform(0.3, 0.33 if number == 3 else 0.5)
    for slot in slots:
        beside = draws.uniform(low + radius + 0.01, high - radius - 0.01)
        x, y = (beside, slot) if place in ("on the left", "on the right") else (slot, beside)
        shade = np.array(COLOURS[colour]) + draws.integers(-15, 16, 3)
        _lay(canvas, shape, x * size, y * size, radius * size, shade)
    return np.clip(canvas + draws.normal(0, 3, canvas.shape), 0, 255).round().astype(np.uint8)


def _lay(canvas: np.ndarray, shape: str, x: float, y: float, radius: float, shade: np.ndarray) -> None:
    """Draw one shape in place, its edge mixed by how much of a pixel it covers (4 x 4 points are asked)."""
    size, points = len(canvas), (np.arange(4) + 0.5) / 4
    left, right = max(0, int(x - radius) - 2), min(size, int(x + radius) + 3)
    top, bottom = max(0, int(y - radius) - 2), min(size, int(y + radius) + 3)
    across = (np.arange(left, right)[:, None] + points).ravel() - x
    down = (np.arange(top, bottom)[:, None] + points).ravel() - y
    covered = _covers(shape, across[None, :], down[:, None], radius).astype(np.float64)
    share = covered.reshape(bottom - top, 4, right - left, 4).mean(axis=(1, 3))[..., None]
    place = canvas[top:bottom, left:right]
    place += share * (np.clip(shade, 0, 255) - place)


def _covers(shape: str, x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    """Return which points, relative to the middle of a shape, lie in it."""
    if shape == "circle":
        return x**2 + y**2 <= radius**2
    if shape == "square":
        return np.maximum(abs(x), abs(y)) <= radius * 0.89  # about the circle's area
    return (y <= radius * 0.9) & (abs(x) <= (y + radius * 1.1) * 0.58)


def _share(caption: str) -> float:
    """Return a number in [0, 1) that the caption alone decides."""
    digest = hashlib.blake2b(f"whole {caption}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
