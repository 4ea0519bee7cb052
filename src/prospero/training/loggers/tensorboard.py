"""TensorBoard event files in the run folder (needs the extra `tensorboard`)."""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prospero.errors import ConfigError
from prospero.runs.folder import RunFolder
from prospero.training.loggers.base import RunLogger
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
        return TensorboardLogger(RunFolder(run.run_dir).tensorboard, self.flush_seconds)


class TensorboardLogger(RunLogger):
    """Writes every metric as a scalar over steps, and samples as text."""

    title = "TensorBoard"

    def __init__(self, folder: Path, flush_seconds: int) -> None:
        super().__init__()
        self.folder = folder
        self.flush_seconds = flush_seconds
        self._writer: Any = None

    def open_at(self, step: int) -> None:
        """Open a file in which points after `step` replace earlier ones."""
        from torch.utils.tensorboard import SummaryWriter

        self.finish(0)
        purge = step + 1 if step else None
        self._writer = SummaryWriter(str(self.folder), purge_step=purge, flush_secs=self.flush_seconds)

    def write_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Write each metric at `step`."""
        for name, value in metrics.items():
            self._opened().add_scalar(name, value, step)

    def write_text(self, name: str, text: str, step: int) -> None:
        """Write generated `text` as a block."""
        self._opened().add_text(name, "    " + text.replace("\n", "\n    "), step)

    def write_picture(self, name: str, path: Path, step: int) -> None:
        """Show the pixels of the file."""
        from matplotlib.image import imread

        self._opened().add_image(name, imread(path), step, dataformats="HWC")

    def _opened(self) -> Any:
        if self._writer is None:
            self.open_at(0)
        return self._writer

    def finish(self, exit_code: int) -> None:
        """Flush and close."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
