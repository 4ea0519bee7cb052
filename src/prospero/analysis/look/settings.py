"""How a text is looked at."""

from enum import Enum


class Attributions(Enum):
    """How it is told which tokens made one likely: integrated gradients, gradient x input (quicker), or not at all."""

    integrated_gradients = "integrated_gradients"
    gradient_x_input = "gradient_x_input"
    none = "none"
