"""Weights & Biases, under one rule: it never asks and never stops a run. Without a key the run is logged offline."""

import configparser
import netrc
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from lightning.pytorch.loggers.logger import Logger

from prospero.log import log
from prospero.paths import write_text
from prospero.training.run_facts import RunFacts

_RUN_ID_FILE = "wandb_run_id"
_DEFAULT_HOST = "https://api.wandb.ai"


class Mode(Enum):
    """Where the run is logged."""

    auto = "auto"
    online = "online"
    offline = "offline"
    disabled = "disabled"


@dataclass(kw_only=True, slots=True)
class WandbConfig:
    """Weights & Biases; offline when no key is found."""

    project: str = "prospero"
    """The project the run belongs to."""
    entity: str | None = None
    """The team or user; null is the key's own."""
    group: str | None = None
    """Runs shown together; null is the sweep, if any."""
    tags: list[str] = field(default_factory=list)
    """Added to the run's own tags."""
    mode: Mode = Mode.auto
    """auto is online where a key is found, else offline."""
    init_timeout_seconds: float = 30.0
    """How long the server may take to answer at the start before the run is logged offline."""
    finish_timeout_seconds: float = 60.0
    """How long the end of the run may wait for the upload."""

    def build(self, run: RunFacts) -> "WandbLogger":
        """Return the logger; W&B itself starts with training."""
        return WandbLogger(self, run)


class WandbLogger(Logger):
    """Hands rows to W&B with our own axes, `step` and `tokens`; after an error it warns once and stays silent.

    The run's id is kept in the run folder, so a resumed run continues the same W&B run.
    """

    def __init__(self, config: WandbConfig, run: RunFacts) -> None:
        super().__init__()
        self.config = config
        self.run_facts = run
        self.run: Any = None
        self._failed = False

    @property
    def name(self) -> str:
        """The project."""
        return self.config.project

    @property
    def version(self) -> str:
        """The run's id."""
        return run_id(self.run_facts.run_dir)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the settings are given at the start."""

    def resume_at(self, step: int) -> None:
        """Start W&B; `step` is not needed, as W&B joins points by our own axis."""
        self._safely("start", self._start)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log one row."""
        self._safely("log", lambda: self._ensure_started().log({"step": step, **metrics}))

    def log_text(self, name: str, text: str, step: int) -> None:
        """Log generated `text`, shown as written."""

        def write() -> None:
            import html

            import wandb

            page = wandb.Html(f"<pre style='white-space: pre-wrap'>{html.escape(text)}</pre>")
            self._ensure_started().log({"step": step, name: page})

        self._safely("log text", write)

    def close(self, exit_code: int = 0) -> None:
        """Finish the run, within the time set; always called, or the next run in this process would continue it."""
        if self.run is not None:
            run, self.run = self.run, None
            self._failed = False
            self._safely("finish", lambda: run.finish(exit_code=exit_code))
        self._failed = True

    def _ensure_started(self) -> Any:
        if self.run is None:
            self._start()
        return self.run

    def _start(self) -> None:
        if self.run is not None:
            return
        mode = resolve_mode(self.config.mode)
        try:
            self.run = self._init(mode)
        except Exception as error:
            if mode is not Mode.online:
                raise
            log.warning("W&B does not answer (%s); this run is logged offline", _first_line(error))
            self.run = self._init(Mode.offline)

    def _init(self, mode: Mode) -> Any:
        import wandb

        folder = self.run_facts.run_dir
        settings = wandb.Settings(
            init_timeout=self.config.init_timeout_seconds,
            finish_timeout=self.config.finish_timeout_seconds,
            silent=True,
            console="off",
            disable_git=True,
            save_code=False,
            program="",
            x_disable_meta=True,  # it records the command line, in which secrets may stand
        )
        run = wandb.init(
            project=self.config.project,
            entity=self.config.entity,
            group=self.config.group or self.run_facts.group or None,
            tags=[*self.run_facts.tags, *self.config.tags] or None,
            name=self.run_facts.name,
            id=run_id(folder),
            resume="allow",
            dir=str(folder),
            mode=mode.value,  # pyright: ignore[reportArgumentType]
            config=self.run_facts.config,
            settings=settings,
            reinit="create_new",
        )
        run.define_metric("step")
        run.define_metric("tokens", step_metric="step")
        run.define_metric("*", step_metric="step")
        return run

    def _safely(self, what: str, action: Callable[[], Any]) -> None:
        if self._failed:
            return
        try:
            action()
        except Exception as error:  # whatever W&B raises, training goes on
            self._failed = True
            log.warning("W&B failed to %s (%s); training goes on without it", what, _first_line(error))


def run_id(folder: Path) -> str:
    """Return the W&B run id kept in the run `folder`, a new one when there is none."""
    file = folder / _RUN_ID_FILE
    if file.is_file():
        return file.read_text(encoding="utf-8").strip()
    new = secrets.token_hex(4)
    write_text(file, new + "\n")
    return new


def resolve_mode(asked: Mode) -> Mode:
    """Return the mode; auto follows WANDB_MODE, else is online where a key is found and offline where none is."""
    if asked is not Mode.auto:
        return asked
    from_environment = os.environ.get("WANDB_MODE", "")
    if from_environment in Mode.__members__ and from_environment != "auto":
        return Mode[from_environment]
    return Mode.online if has_key() else Mode.offline


def has_key() -> bool:
    """Whether a key for W&B is in the environment, in netrc, or in W&B's settings; looks only, asks nobody."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", _DEFAULT_HOST)).hostname or ""
    for candidate in (os.environ.get("NETRC", ""), "~/.netrc", "~/_netrc"):
        path = Path(candidate).expanduser()
        try:
            if candidate and path.is_file() and netrc.netrc(str(path)).authenticators(host):
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    folder = Path(os.environ.get("WANDB_CONFIG_DIR", "~/.config/wandb")).expanduser()
    settings = configparser.ConfigParser()
    try:
        settings.read(folder / "settings", encoding="utf-8")
    except configparser.Error:
        return False
    return any(section.get("api_key") for section in settings.values())


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
