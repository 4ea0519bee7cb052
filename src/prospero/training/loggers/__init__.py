"""Where metrics go: metrics.csv always, W&B and TensorBoard when chosen. All write on rank 0 only."""

from collections.abc import Iterable
from typing import Any


def close_loggers(loggers: Iterable[Any], exit_code: int = 0) -> None:
    """Close every logger that can be closed; call it once, in a `finally`, when nothing more will be logged."""
    for logger in loggers:
        close = getattr(logger, "close", None)
        if close is not None:
            close(exit_code)


def log_text(loggers: Iterable[Any], name: str, text: str, step: int) -> None:
    """Hand `text` to every logger that takes text."""
    for logger in loggers:
        write = getattr(logger, "log_text", None)
        if write is not None:
            write(name, text, step)
