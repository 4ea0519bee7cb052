"""TensorBoard event files in the run folder (needs the extra `tensorboard`)."""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger

from prospero.errors import ConfigError
from prospero.training.run_facts import RunFacts


@dataclass(kw_only=True, slots=True)
class TensorboardConfig:
    """TensorBoard event files."""

    flush_seconds: int = 30
    """Seconds after which rows reach the disk."""

    def build(self, run: RunFacts) -> "TensorboardLogger":
        """Return the logger, writing to `<run_dir>/tensorboard`; ConfigError when TensorBoard is not installed."""
        if importlib.util.find_spec("tensorboard") is None:
            raise ConfigError(
                "logger=tensorboard needs the package tensorboard, which is not installed; "
                "run pip install 'prospero[tensorboard]', or leave the logger out"
            )
        return TensorboardLogger(run.run_dir / "tensorboard", self.flush_seconds)


class TensorboardLogger(Logger):
    """Writes every metric as a scalar over steps, and samples as text."""

    def __init__(self, folder: Path, flush_seconds: int) -> None:
        super().__init__()
        self.folder = folder
        self.flush_seconds = flush_seconds
        self._writer: Any = None

    @property
    def name(self) -> str:
        """The logger's name."""
        return "tensorboard"

    @property
    def version(self) -> str:
        """There is one folder a run."""
        return ""

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the settings are in config.yaml."""

    def resume_at(self, step: int) -> None:
        """Open a file in which points after `step` replace earlier ones."""
        from torch.utils.tensorboard import SummaryWriter

        self.close()
        purge = step + 1 if step else None
        self._writer = SummaryWriter(str(self.folder), purge_step=purge, flush_secs=self.flush_seconds)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write each metric at `step`."""
        for name, value in metrics.items():
            self._opened().add_scalar(name, value, step)

    def log_text(self, name: str, text: str, step: int) -> None:
        """Write generated `text` as a block."""
        self._opened().add_text(name, "    " + text.replace("\n", "\n    "), step)

    def _opened(self) -> Any:
        if self._writer is None:
            self.resume_at(0)
        return self._writer

    def close(self, exit_code: int = 0) -> None:
        """Flush and close."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
