"""Prospero: a laboratory for language models on Lightning and Hydra."""

__version__ = "0.1.0"
