"""What the numbers of the steps say: go on, or go back. Pure arithmetic on plain values; every rank comes to the same.

Loss spikes and the way out of them: Chowdhery et al. 2022, "PaLM", arXiv:2204.02311, section 5.1 (go back some steps
and skip the data around the spike).
"""

import bisect
import math
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

from prospero.training.guards.settings import GuardsConfig

REMEMBERED = 64
"""Steps that a diagnosis shows."""


@dataclass(slots=True)
class StepRecord:
    """The numbers of one optimiser step, over all ranks."""

    step: int
    """Counted from 1."""
    loss: float
    grad_norm: float
    lr: float
    first: int
    """Sequences consumed before this step."""
    last: int
    """Sequences consumed after it."""
    terms: str = ""
    """The named terms of the objective that are not finite, where the others are: it is they, not the data."""

    @property
    def finite(self) -> bool:
        """Whether loss and gradient are numbers."""
        return math.isfinite(self.loss) and math.isfinite(self.grad_norm)

    @property
    def what(self) -> str:
        """What of the step is not finite."""
        if math.isfinite(self.loss):
            return "the gradient"
        return f"the loss, of its terms {self.terms} alone," if self.terms else "the loss"


class StepGuard:
    """Reads one record a step; `skipped` counts the steps whose update was left out."""

    def __init__(self, config: GuardsConfig | None = None) -> None:
        self.config = config or GuardsConfig()
        self.skipped = 0
        self.records: deque[StepRecord] = deque(maxlen=REMEMBERED)
        self.bad: list[StepRecord] = []
        """The steps in a row that brought the last verdict nearer."""
        self._skipped_in_row = 0
        self._spikes_in_row = 0
        self._first: float | None = None
        self._window: deque[float] = deque()
        self._sorted: list[float] = []

    def read(self, record: StepRecord) -> str | None:
        """Take the numbers of the next step; return why the run must go back, or None."""
        self.records.append(record)
        if not record.finite:
            return self._read_skipped(record)
        self._skipped_in_row = 0
        if self.config.spike_ratio is None:
            self.bad = []
            return None
        return self._read_loss(record)

    def _read_skipped(self, record: StepRecord) -> str | None:
        self.skipped += 1
        self._skipped_in_row += 1
        self.bad.append(record)
        if self._skipped_in_row < self.config.max_skipped_in_row:
            return None
        times = f" {self._skipped_in_row} times in a row" if self._skipped_in_row > 1 else ""
        return f"{record.what} is not finite{times} at step {record.step}"

    def _read_loss(self, record: StepRecord) -> str | None:
        config = self.config
        assert config.spike_ratio is not None
        full = len(self._window) >= config.spike_window_steps
        if self._first is None:
            self._first = record.loss
        usual = self.median if full else self._first  # a young run is measured by what an untrained model loses
        bound = config.spike_ratio * max(1.0, usual)
        if record.loss > bound:  # a spike does not enter the window that it is measured by
            self._spikes_in_row += 1
            self.bad.append(record)
            if self._spikes_in_row < config.spike_steps:
                return None
            return (
                f"the loss is {record.loss:.4g} at step {record.step}, above {bound:.4g} "
                f"({config.spike_ratio:g} x the median) for {self._spikes_in_row} steps"
            )
        self._spikes_in_row, self.bad = 0, []
        self._window.append(record.loss)
        bisect.insort(self._sorted, record.loss)
        if len(self._window) > config.spike_window_steps:
            self._sorted.pop(bisect.bisect_left(self._sorted, self._window.popleft()))
        return None

    def verdict_at_end(self) -> str | None:
        """Return why a run that ends now must go back: it is young and exploded, only not for long enough; or None."""
        young = len(self._window) < self.config.spike_window_steps
        if not young or not self._spikes_in_row:
            return None
        last = self.bad[-1]
        return (
            f"the loss is {last.loss:.4g} at step {last.step}, the last, above {self.config.spike_ratio:g} x that of "
            f"the first, {self._first:.4g}"
        )

    @property
    def median(self) -> float:
        """The running median of the loss, in nats; NaN before the first step."""
        n = len(self._sorted)
        return (self._sorted[(n - 1) // 2] + self._sorted[n // 2]) / 2 if n else math.nan

    @property
    def first_bad_step(self) -> int | None:
        """The first of the steps in a row that led to the verdict."""
        return self.bad[0].step if self.bad else None

    def state_dict(self) -> dict[str, Any]:
        """Return all that is remembered, as plain values."""
        return {
            "skipped": self.skipped,
            "skipped_in_row": self._skipped_in_row,
            "spikes_in_row": self._spikes_in_row,
            "first": self._first,
            "window": list(self._window),
            "bad": [asdict(record) for record in self.bad],
            "records": [asdict(record) for record in self.records],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what a checkpoint remembers; a window of another length is cut or goes on growing."""
        self.skipped = state["skipped"]
        self._skipped_in_row, self._spikes_in_row = state["skipped_in_row"], state["spikes_in_row"]
        self._first = state.get("first")
        self._window = deque(state["window"][-self.config.spike_window_steps :])
        self._sorted = sorted(self._window)
        self.bad = [StepRecord(**record) for record in state["bad"]]
        self.records = deque((StepRecord(**record) for record in state["records"]), maxlen=REMEMBERED)
