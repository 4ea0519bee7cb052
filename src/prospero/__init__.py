"""Prospero: a laboratory for language models on Lightning and Hydra.

    from prospero import compose, train, load_model, generate, open_run

Each name is imported when it is first used: `import prospero` alone brings neither torch nor Hydra nor Lightning.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prospero.checkpoints.model_folder import load_model
    from prospero.commands.train import train
    from prospero.configuration.compose import compose
    from prospero.generation.generate import generate
    from prospero.library import open_run

__version__ = "0.1.0"
__all__ = ["compose", "generate", "load_model", "open_run", "train"]

_HOMES = {
    "compose": "prospero.configuration.compose",
    "generate": "prospero.generation.generate",
    "load_model": "prospero.checkpoints.model_folder",
    "open_run": "prospero.library",
    "train": "prospero.commands.train",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for; AttributeError when it is no name of the library."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """Return the names that an editor offers."""
    return sorted({*globals(), *__all__})
