"""Weights & Biases, under one rule: it never asks and never stops a run. Without a key the run is logged offline."""

import configparser
import contextlib
import netrc
import os
import secrets
import shlex
import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from prospero.errors import ConfigError
from prospero.log import log
from prospero.paths import write_text
from prospero.runs.folder import RunFolder
from prospero.secret_values import scrub
from prospero.training.loggers.base import RunLogger, first_line
from prospero.training.run_facts import RunFacts

_DEFAULT_HOST = "https://api.wandb.ai"
_LONGEST_TAG, _LONGEST_NAME = 64, 128
"""Characters that W&B takes for a tag, and for the name of a run, a group or a project."""
_NOT_IN_A_PROJECT = "/\\#?%:"


UNSYNCED_SECONDS = 30.0
"""W&B writes what it was handed to disk every 15 s or so (measured); rows of this time are handed over again."""


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

    def __post_init__(self) -> None:
        refused = sorted({char for char in self.project if char in _NOT_IN_A_PROJECT})
        if refused or not 1 <= len(self.project) <= _LONGEST_NAME:
            what = f"holds {' '.join(refused)}" if refused else f"has {len(self.project)} characters"
            raise ConfigError(
                f"logger.wandb.project={self.project} {what}; W&B takes 1 to {_LONGEST_NAME} characters, none of "
                f"{' '.join(_NOT_IN_A_PROJECT)}"
            )

    def build(self, run: RunFacts) -> "WandbLogger":
        """Return the logger; W&B itself starts with training."""
        return WandbLogger(self, run)


class WandbLogger(RunLogger):
    """Hands rows to W&B with our own axes, `step` and `tokens`; when W&B breaks the run is logged offline from there.

    The run's id is kept in the run folder, so a resumed run, and the part logged offline, continue the same W&B run.
    """

    title = "W&B"

    def __init__(self, config: WandbConfig, run: RunFacts) -> None:
        super().__init__()
        self.config = config
        self.run_facts = run
        self.run: Any = None
        self._fell_back = False
        self._recent: deque[tuple[float, dict[str, Any]]] = deque()  # rows that W&B's process may not have on disk yet

    @property
    def name(self) -> str:
        """The project."""
        return self.config.project

    @property
    def version(self) -> str:
        """The run's id."""
        return run_id(self.run_facts.run_dir)

    def open_at(self, step: int) -> None:
        """Start W&B; `step` is not needed, as W&B joins points by our own axis."""
        if self.run is not None:
            return
        mode = resolve_mode(self.config.mode)
        if mode is not Mode.online:
            self.run = self._init(mode)
            if mode is Mode.offline:
                why = "no key was found" if self.config.mode is Mode.auto and not has_key() else "as asked"
                log.info("W&B: logged offline (%s); send it later with: %s", why, self._sync_command())
            return
        try:
            check_server()
            self.run = self._init(mode)
        except Exception as error:
            self._go_on_offline("start", error)

    def write_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Log one row."""
        row = {"step": step, **metrics}
        self._recent.append((time.monotonic(), row))
        while self._recent[0][0] < time.monotonic() - UNSYNCED_SECONDS:
            self._recent.popleft()
        self._hand_over(row)

    def write_text(self, name: str, text: str, step: int) -> None:
        """Log generated `text`, shown as written."""
        import html

        import wandb

        page = wandb.Html(f"<pre style='white-space: pre-wrap'>{html.escape(text)}</pre>")
        self._hand_over({"step": step, name: page})

    def write_table(self, name: str, rows: Sequence[dict[str, str]], step: int) -> None:
        """Log a table, which W&B shows as one."""
        import wandb

        table = wandb.Table(columns=list(rows[0]), data=[list(row.values()) for row in rows])
        self._hand_over({"step": step, name: table})

    def write_picture(self, name: str, path: Path, step: int) -> None:
        """Log a picture."""
        import wandb

        self._hand_over({"step": step, name: wandb.Image(str(path))})

    def finish(self, exit_code: int) -> None:
        """Finish the run, within the time set; always called, or the next run in this process would continue it."""
        run, self.run = self.run, None
        self.off = True
        if run is None:
            return
        started = time.monotonic()
        try:
            run.finish(exit_code=exit_code)
        except Exception as error:
            self._say_unsent(first_line(error))
            return
        if run.settings.mode == "online" and time.monotonic() - started >= self.config.finish_timeout_seconds:
            self._say_unsent("the upload did not end in time")

    def _hand_over(self, row: dict[str, Any]) -> None:
        self.open_at(0)
        try:
            self._run().log(row)
        except Exception as error:
            if self._fell_back:
                raise
            self._go_on_offline("log", error)
            for _, recent in self._recent:  # a point twice at its step is better than a point lost
                self._run().log(recent)
            if row not in (recent for _, recent in self._recent):
                self._run().log(row)

    def _run(self) -> Any:
        return self.run

    def _go_on_offline(self, what: str, error: Exception) -> None:
        """Start W&B's process anew, offline, with the same run id; one warning says how to send everything later."""
        import wandb

        self._fell_back, self.run = True, None
        # W&B's own process may be dead: what is left of the connection to it is dropped. It may raise then, too.
        with contextlib.suppress(Exception):
            wandb.teardown(exit_code=1)
        self.run = self._init(Mode.offline)
        log.warning(
            "W&B failed to %s (%s); the run goes on and is logged offline. Send it later with: %s",
            what,
            first_line(error),
            self._sync_command(),
        )

    def _say_unsent(self, why: str) -> None:
        log.warning("W&B has not received everything (%s). Send it with: %s", why, self._sync_command())

    def _sync_command(self) -> str:
        folder = RunFolder(self.run_facts.run_dir).wandb.resolve()
        return f"wandb sync {shlex.quote(str(folder))}/*run-*"

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
            group=scrub(self.config.group or self.run_facts.group)[:_LONGEST_NAME] or None,
            tags=fitting_tags([scrub(tag) for tag in (*self.run_facts.tags, *self.config.tags)]) or None,
            name=self.run_facts.name[:_LONGEST_NAME],
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


def fitting_tags(tags: list[str]) -> list[str]:
    """Return the tags as W&B takes them, each once: an empty one is left out, a long one cut, and both are said."""
    fitting = {}
    for tag in tags:
        cut = tag.strip()[:_LONGEST_TAG].strip()
        if cut != tag or not cut:
            how = f"it is sent as '{cut}'" if cut else "it is left out"
            log.warning("W&B takes tags of 1 to %d characters: '%s' is too long or empty, %s", _LONGEST_TAG, tag, how)
        fitting[cut] = None
    return [tag for tag in fitting if tag]


def check_server(seconds: float = 5.0) -> None:
    """Raise OSError when nobody answers at W&B's address within `seconds`: W&B itself would try for 90 s.

    Behind a proxy nothing is checked: the address need not be reachable from here.
    """
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY")):
        return
    url = urlparse(os.environ.get("WANDB_BASE_URL", _DEFAULT_HOST))
    port = url.port or (80 if url.scheme == "http" else 443)
    socket.create_connection((url.hostname or "", port), timeout=seconds).close()


def run_id(folder: Path) -> str:
    """Return the W&B run id kept in the run `folder`, a new one when there is none."""
    file = RunFolder(folder).wandb_run_id
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
