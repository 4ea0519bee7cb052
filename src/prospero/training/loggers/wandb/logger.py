"""Weights & Biases, under one rule: it never asks and never stops a run. Without a key the run is logged offline."""

import contextlib
import html
import shlex
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from prospero.errors import ConfigError
from prospero.log import log
from prospero.runs.folder import RunFolder
from prospero.secret_values import scrub
from prospero.training.loggers.base import RunLogger, first_line
from prospero.training.loggers.handing_over import HandingOver
from prospero.training.loggers.wandb.access import Mode, check_server, has_key, resolve_mode, run_id
from prospero.training.loggers.wandb.artifacts import log_evaluation, log_model, log_receipt
from prospero.training.loggers.wandb.facts import KEY, BestNumbers, run_facts_for_config
from prospero.training.loggers.wandb.growing_table import GrowingTable
from prospero.training.loggers.wandb.names import LONGEST_NAME, check_project, fitting_tags
from prospero.training.loggers.wandb.stop_tag import STOPPED, StopTag
from prospero.training.run_facts import RunFacts

UNSYNCED_SECONDS = 30.0
"""W&B writes what it was handed to disk every 15 s or so (measured); rows of this time are handed over again."""


REPLACED = "settings"
"""Where W&B's config holds the settings of a group that a sweep chooses by its name."""


class Kept(Enum):
    """What of a run can be kept in W&B as an artifact."""

    model = "model"
    receipt = "receipt"
    evaluation = "evaluation"


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
    artifacts: list[Kept] = field(default_factory=list)
    """What of a finished run is uploaded as an artifact: model (the folder model/), receipt (of its data), evaluation
    (its results and the tables of its tasks)."""
    stop_tag: str | None = "stop"
    """A run that gets this tag in W&B saves and stops, and has the tag `stopped` then; null: none does."""
    stop_tag_every_seconds: float = 30.0
    """How often it is looked for."""
    init_timeout_seconds: float = 30.0
    """How long the server may take to answer at the start before the run is logged offline."""
    finish_timeout_seconds: float = 60.0
    """How long the end of the run may wait for the upload."""

    def __post_init__(self) -> None:
        check_project("logger.wandb.project", self.project)
        if self.stop_tag is not None and not self.stop_tag.strip():
            raise ConfigError("logger.wandb.stop_tag= is empty; give a word, or null for none")
        if self.stop_tag == STOPPED:
            raise ConfigError(f"logger.wandb.stop_tag={STOPPED} is the tag that a stopped run gets; choose another")
        if self.stop_tag in self.tags:
            self._refuse_own(self.stop_tag)
        for name in ("stop_tag_every_seconds", "init_timeout_seconds", "finish_timeout_seconds"):
            if not (value := getattr(self, name)) > 0:
                raise ConfigError(f"logger.wandb.{name}={value} is not possible; give a number above zero")

    def _refuse_own(self, tag: str | None) -> None:
        raise ConfigError(
            f"tags=[{tag}] is the tag by which a run is stopped from W&B; choose another, or another "
            "logger.wandb.stop_tag"
        )

    def build(self, run: RunFacts) -> "WandbLogger":
        """Return the logger; W&B itself starts with training."""
        if self.stop_tag in run.tags:
            self._refuse_own(self.stop_tag)
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
        self.extras = HandingOver(self.title)
        self.best = BestNumbers(run)
        self._fell_back = False
        self._recent: deque[tuple[float, dict[str, Any]]] = deque()  # rows that W&B's process may not have on disk yet
        self._growing: dict[str, GrowingTable] = {}
        self._tables: dict[str, Sequence[dict[str, str]]] = {}
        self._summary: dict[str, Any] = {}
        self._stop_tag: StopTag | None = None

    @property
    def name(self) -> str:
        """The project."""
        return self.config.project

    @property
    def version(self) -> str:
        """The run's id."""
        return run_id(self.run_facts.run_dir)

    def open_at(self, step: int) -> None:
        """Start W&B, which joins points by our own axis; the best numbers until `step` are taken up."""
        if self.run is not None:
            return
        self._start()
        self.write_summary(self.best.begin(step))

    def _start(self) -> None:
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
            return
        if self.config.stop_tag is not None:
            stop_file, every = RunFolder(self.run_facts.run_dir).stop, self.config.stop_tag_every_seconds
            self._stop_tag = StopTag(self.config.stop_tag, self.run, stop_file, every)

    def write_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Log one row."""
        row = {"step": step, **metrics}
        self._recent.append((time.monotonic(), row))
        while self._recent[0][0] < time.monotonic() - UNSYNCED_SECONDS:
            self._recent.popleft()
        self._hand_over(row)
        self.write_summary(self.best.update(metrics))

    def write_text(self, name: str, text: str, step: int) -> None:
        """Log generated `text`, shown as written."""

        def hand_over(run: Any) -> None:
            import wandb

            page = wandb.Html(f"<pre style='white-space: pre-wrap'>{html.escape(text)}</pre>")
            run.log({"step": step, name: page})

        self._add(name, hand_over)

    def write_table(self, name: str, rows: Sequence[dict[str, str]], step: int) -> None:
        """Log a table, which W&B shows as one."""
        self._tables[name] = rows

        def hand_over(run: Any) -> None:
            import wandb

            table = wandb.Table(columns=list(rows[0]), data=[list(row.values()) for row in rows])
            run.log({"step": step, name: table})

        self._add(name, hand_over)

    def write_rows(self, name: str, rows: Sequence[dict[str, Any]], step: int) -> None:
        """Add rows to the run's table `name`."""
        table = self._growing.setdefault(name, GrowingTable(name, list(rows[0])))
        self._add(name, lambda run: table.hand_over(run, step, rows))

    def write_picture(self, name: str, path: Path, step: int) -> None:
        """Log a picture."""

        def hand_over(run: Any) -> None:
            import wandb

            run.log({"step": step, name: wandb.Image(str(path))})

        self._add(name, hand_over)

    def write_summary(self, values: Mapping[str, Any]) -> None:
        """Keep values for the whole run."""
        self._summary |= values
        if values and self.run is not None:
            self.run.summary.update(dict(values))

    def write_files(self, folder: RunFolder) -> None:
        """Upload what the setting `artifacts` names."""
        kept = self.config.artifacts
        if Kept.model in kept:
            self._add("the model", lambda run: log_model(run, folder))
        if Kept.receipt in kept:
            self._add("the receipt", lambda run: log_receipt(run, folder))
        if Kept.evaluation in kept:
            self._add("the evaluation", lambda run: log_evaluation(run, folder, self._tables))

    def finish(self, exit_code: int) -> None:
        """Finish the run, within the time set; always called, or the next run in this process would continue it."""
        self.off = True
        if self._stop_tag is not None:
            self._stop_tag.end()
        if self.run is None:
            return
        started = time.monotonic()
        left = self.extras.wait(self.config.finish_timeout_seconds)
        if left:
            log.warning("W&B was too slow to take %s; the run folder has it", ", ".join(left))
        run, self.run = self.run, None
        try:
            run.finish(exit_code=exit_code)
        except Exception as error:
            self._say_unsent(first_line(error))
            return
        if run.settings.mode == "online" and time.monotonic() - started >= self.config.finish_timeout_seconds:
            self._say_unsent("the upload did not end in time")

    def _add(self, name: str, hand_over: Callable[[Any], None]) -> None:
        """Hand over what the client asks its server about before it takes it: tables, pictures, artifacts.

        It waits for the answer, for minutes where the network is bad. Rows of numbers go to W&B's process on this
        machine, which takes them at once.
        """
        self.open_at(0)
        self.extras.add(name, lambda: hand_over(self.run))

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

    def _run(self) -> Any:
        return self.run

    def _go_on_offline(self, what: str, error: Exception) -> None:
        """Start W&B's process anew, offline, with the same run id; one warning says how to send everything later."""
        import wandb

        self._fell_back, self.run = True, None
        if self._stop_tag is not None:
            self._stop_tag.end()
        # W&B's own process may be dead: what is left of the connection to it is dropped. It may raise then, too.
        with contextlib.suppress(Exception):
            wandb.teardown(exit_code=1)
        self.run = self._init(Mode.offline)
        self.write_summary(self._summary)
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
        config = {**self.run_facts.config, KEY: run_facts_for_config(self.run_facts)}
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
            group=scrub(self.config.group or self.run_facts.group)[:LONGEST_NAME] or None,
            tags=fitting_tags([scrub(tag) for tag in (*self.run_facts.tags, *self.config.tags)]) or None,
            name=self.run_facts.name[:LONGEST_NAME],
            id=run_id(folder),
            resume="allow",
            dir=str(folder),
            mode=mode.value,  # pyright: ignore[reportArgumentType]
            config=config,
            settings=settings,
            reinit="create_new",
        )
        # In a sweep model= is the name of the choice there, and W&B does not let it be replaced by its settings.
        replaced = {key: value for key, value in config.items() if run.config.get(key, value) != value}
        if replaced and run.sweep_id:
            run.config.update({REPLACED: replaced})
        run.define_metric("step")
        run.define_metric("tokens", step_metric="step")
        run.define_metric("*", step_metric="step")
        return run
