"""Choices of whoever writes text; light at import, for the settings of commands."""

from enum import Enum


class Context(Enum):
    """What becomes of a prompt that is longer than what the model reads at once."""

    refuse = "refuse"
    slide = "slide"


class Precision(Enum):
    """The numbers that weights are held in while text is written; sums are float32."""

    auto = "auto"
    float32 = "float32"
    bf16 = "bf16"
    int8 = "int8"


class Engine(Enum):
    """What computes: this program by torch, or onnxruntime with an exported file."""

    auto = "auto"
    torch = "torch"
    onnx = "onnx"
