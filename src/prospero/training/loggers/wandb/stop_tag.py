"""A run stops when it gets a tag in W&B: a thread looks for it now and then, and writes the run's STOP file.

The rest is what the STOP file does: the step is ended, a checkpoint saved, the run can be continued. The tag is
replaced by STOPPED, or the run would stop at once when it is continued. (It cannot only be taken away: W&B's client
does not send that a run has no tag left.)
"""

import threading
from pathlib import Path
from typing import Any

from prospero.log import log
from prospero.paths import write_text

STOPPED = "stopped"
"""The tag that a run has afterwards."""
ANSWER_SECONDS = 20
"""How long the server may take to say which tags a run has."""


class StopTag:
    """Looks every so many seconds whether W&B's server has `run` with `tag`; no failure is more than a note."""

    def __init__(self, tag: str, run: Any, stop_file: Path, every_seconds: float) -> None:
        self.tag, self.run, self.stop_file, self.every_seconds = tag, run, stop_file, every_seconds
        self._armed = not run.resumed  # a tag that a continued run has from before asks for nothing, until it is gone
        self._said = False
        self._there: Any = None  # the run as the server has it
        self._ended = threading.Event()
        threading.Thread(target=self._watch, name="prospero-wandb-stop-tag", daemon=True).start()

    def end(self) -> None:
        """Look no more."""
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.is_set():
            try:
                self._look()
            except Exception as error:  # the network may be away for a while
                self._there = None
                log.debug("W&B: the run's tags could not be read (%s)", error)
            self._ended.wait(self.every_seconds)

    def _look(self) -> None:
        if self._there is None:
            import wandb

            path = f"{self.run.entity}/{self.run.project}/{self.run.id}"
            self._there = wandb.Api(timeout=ANSWER_SECONDS).run(path)
        else:
            self._there.load(force=True)
        if self.tag not in self._there.tags:
            self._armed = True
        elif not self._ended.is_set():
            self._meet()

    def _meet(self) -> None:
        """Ask the run to stop, unless the tag stands there from before, and replace it."""
        if self._armed:
            write_text(self.stop_file, f"the tag '{self.tag}' in W&B\n")
        elif not self._said:
            log.warning("W&B: the run has the tag '%s' from before it was continued; it asks for nothing", self.tag)
        self._armed, self._said = False, True
        # By the run itself: W&B's public run would send back the config and the summary of this moment too.
        others = [other for other in self._there.tags if other not in (self.tag, STOPPED)]
        self.run.tags = (*others, STOPPED)
