"""A prompt that a picture stands before."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from prospero.errors import ConfigError
from prospero.model.base import LanguageModel


@dataclass(frozen=True, slots=True, eq=False)
class Pictured:
    """What the model sees, then what it reads."""

    text: str
    """The beginning of the text; empty where the text is all the model's."""
    image: np.ndarray
    """uint8 [H, W, C], of the size that the model reads."""


def picture_inputs(model: LanguageModel, images: Sequence[np.ndarray] | None) -> dict[str, Any]:
    """Return the argument `images` [B, C, H, W] of the model's forward, none for a model of text alone.

    Raises ConfigError when a model that reads pictures gets none, or another one gets some.
    """
    if images is None:
        if model.image_shape is not None:
            raise ConfigError(
                "this model reads a picture before the text, and none is given; give image=<file> to generate, and "
                "tasks=[captions] to evaluate"
            )
        return {}
    if model.image_shape is None:
        raise ConfigError(NO_PICTURE)
    together = torch.from_numpy(np.stack([np.moveaxis(image, -1, 0) for image in images]))
    return {"images": together.to(model.device)}


NO_PICTURE = "this model reads no picture; leave image= out, or give a run of model.prefix.kind=image"
