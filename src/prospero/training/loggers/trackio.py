"""Trackio (needs the extra `trackio`): a local dashboard, or one in a Space of Hugging Face's, without an account.

Its files lie where Trackio keeps them (TRACKIO_DIR, else the cache of the user), and `trackio show` shows them.
"""

import importlib.util
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prospero.errors import ConfigError
from prospero.log import log
from prospero.paths import write_text
from prospero.runs.folder import RunFolder
from prospero.secret_values import scrub
from prospero.training.loggers.base import RunLogger
from prospero.training.loggers.handing_over import HandingOver
from prospero.training.run_facts import RunFacts


@dataclass(kw_only=True, slots=True)
class TrackioConfig:
    """Trackio's dashboard."""

    project: str = "prospero"
    """The project the run belongs to."""
    space: str | None = None
    """A Space on the hub (`user/name`) that is logged to, made where there is none; null is this machine."""
    finish_timeout_seconds: float = 60.0
    """How long the end of the run may wait until everything is handed over."""

    def __post_init__(self) -> None:
        for name in ("project", "space"):
            if (value := getattr(self, name)) is not None and not value.strip():
                raise ConfigError(f"logger.trackio.{name}= is empty; give its name, or leave it out")
        if not self.finish_timeout_seconds > 0:
            raise ConfigError(
                f"logger.trackio.finish_timeout_seconds={self.finish_timeout_seconds} is not possible; give a number "
                "above zero"
            )

    def build(self, run: RunFacts) -> "TrackioLogger":
        """Return the logger; ConfigError when Trackio is not installed."""
        if importlib.util.find_spec("trackio") is None:
            raise ConfigError(
                "logger=trackio needs the package trackio, which is not installed; "
                "run pip install 'prospero[trackio]', or leave the logger out"
            )
        return TrackioLogger(self, run)


class TrackioLogger(RunLogger):
    """Hands everything to Trackio by a thread: a Space may be far away, and the client writes files of its own.

    Trackio continues a run by its name, so each run has one of its own, kept in its folder.
    """

    title = "Trackio"

    def __init__(self, config: TrackioConfig, run: RunFacts) -> None:
        super().__init__()
        self.config = config
        self.run_facts = run
        self.handing_over = HandingOver(self.title)
        self._run: Any = None
        self._begun = False

    @property
    def name(self) -> str:
        """The project."""
        return self.config.project

    @property
    def version(self) -> str:
        """The run's name in Trackio."""
        file = RunFolder(self.run_facts.run_dir).trackio_run
        if file.is_file():
            return file.read_text(encoding="utf-8").strip()
        new = f"{self.run_facts.name}-{secrets.token_hex(2)}"
        write_text(file, new + "\n")
        return new

    def open_at(self, step: int) -> None:
        """Begin, or go on with the run of that name; `step` is not needed, points join by the step."""
        if not self._begun:
            self._begun = True
            self.handing_over.add("the run", self._init)

    def write_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Log one row."""
        row = dict(metrics)
        self._add("rows", lambda: self._run.log(row, step=step))

    def write_text(self, name: str, text: str, step: int) -> None:
        """Log generated `text` as a block of Markdown."""
        block = "    " + text.replace("\n", "\n    ")
        self._add_media(name, step, lambda trackio: trackio.Markdown(block))

    def write_table(self, name: str, rows: Sequence[dict[str, str]], step: int) -> None:
        """Log a table."""
        self.write_rows(name, rows, step)

    def write_rows(self, name: str, rows: Sequence[dict[str, Any]], step: int) -> None:
        """Log the rows as a table of this step: the dashboard shows one step after the other."""
        columns, data = list(rows[0]), [list(row.values()) for row in rows]
        self._add_media(name, step, lambda trackio: trackio.Table(columns=columns, data=data))

    def write_picture(self, name: str, path: Path, step: int) -> None:
        """Log a picture."""
        self._add_media(name, step, lambda trackio: trackio.Image(str(path)))

    def finish(self, exit_code: int) -> None:
        """Hand over what waits, within the time set, and close the run."""
        if not self._begun:
            return
        self.off = True
        self.handing_over.add("the end", self._finish)
        left = self.handing_over.wait(self.config.finish_timeout_seconds)
        if left:
            log.warning("Trackio was too slow to take %s; the run folder has it", ", ".join(left))

    def _add_media(self, name: str, step: int, make: Callable[[Any], Any]) -> None:
        """Log what `make` makes of Trackio's own classes, whose import takes seconds."""

        def hand_over() -> None:
            import trackio  # pyright: ignore[reportMissingImports]

            self._run.log({name: make(trackio)}, step=step)

        self._add(name, hand_over)

    def _add(self, name: str, action: Callable[[], None]) -> None:
        self.open_at(0)
        self.handing_over.add(name, action)

    def _init(self) -> None:
        import trackio  # pyright: ignore[reportMissingImports]

        self._run = trackio.init(
            project=self.config.project,
            name=self.version,
            group=scrub(self.run_facts.group) or None,
            config=self.run_facts.config,
            space_id=self.config.space,
            resume="allow",
            embed=False,
        )

    def _finish(self) -> None:
        if self._run is not None:
            self._run.finish()
