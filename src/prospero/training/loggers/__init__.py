"""Where metrics go: metrics.csv always, W&B and TensorBoard when chosen. All write on rank 0 only."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger

from prospero.training.loggers.base import RunLogger


def close_loggers(loggers: Iterable[Logger], exit_code: int = 0) -> None:
    """Close every logger of ours; call it once, in a `finally`, when nothing more will be logged."""
    for logger in loggers:
        if isinstance(logger, RunLogger):
            logger.close(exit_code)


def log_text(loggers: Iterable[Logger], name: str, text: str, step: int) -> None:
    """Hand `text` to every logger that takes text."""
    for logger in loggers:
        if isinstance(logger, RunLogger):
            logger.log_text(name, text, step)


def log_picture(loggers: Iterable[Logger], name: str, path: Path, step: int) -> None:
    """Hand a PNG file to every logger that takes pictures."""
    for logger in loggers:
        if isinstance(logger, RunLogger):
            logger.log_picture(name, path, step)


def log_rows(loggers: Iterable[Logger], name: str, rows: Sequence[dict[str, Any]], step: int) -> None:
    """Add rows to a table that grows with the run, its columns those of the first row."""
    for logger in loggers:
        if isinstance(logger, RunLogger):
            logger.log_rows(name, rows, step)


def log_table(loggers: Iterable[Logger], name: str, rows: Sequence[dict[str, str]], step: int) -> None:
    """Hand a table, its columns those of the first row, to every logger that takes tables or text."""
    for logger in loggers:
        if isinstance(logger, RunLogger):
            logger.log_table(name, rows, step)
