"""What a run remembers of itself: one object, owned by the module, read by callbacks, saved in every checkpoint."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from prospero.batch import Batch


@dataclass(slots=True)
class RunState:
    """The counters of a run, its last numbers, and why it ends."""

    step: int = 0
    """The last optimiser step whose data is counted; behind Lightning's own only while that step ends."""
    sequences: int = 0
    """Training sequences consumed."""
    step_sequences: int = 0
    """Training sequences of the last step."""
    tokens: int = 0
    """Training tokens consumed."""
    seconds: float = 0.0
    """Wall-clock seconds spent in fit, earlier parts of a continued run included."""
    paused_seconds: float = 0.0
    """Seconds of `seconds` in which the run validated, saved or wrote samples."""
    metrics: dict[str, float] = field(default_factory=dict)
    """The last value of every number, by name; those of a validation are the last validation's alone."""
    measured: dict[str, float] = field(default_factory=dict)
    """What callbacks have measured in the validation that runs, published with it."""
    horizon: int | None = None
    """Steps of the whole run as last estimated, where it ends by the clock; the schedule's horizon."""
    rollbacks: int = 0
    """Times that the run has gone back to a checkpoint."""
    stop_reason: str | None = None
    """Why training ended; None while it runs."""
    exit_code: int = 0
    """0, or 128 + the signal that ended training or the final test."""
    stopping_to_resume: bool = False
    """Whether training ends early, to be continued: what costs time and can be done later is left out."""
    validation_pending: bool = False
    """Whether the step that was saved last should have been validated and was not."""
    evaluation_broken_off: bool = False
    """Whether the evaluation that runs was broken off; it publishes nothing."""
    weights_changing: bool = False
    """True while the optimiser changes the weights, when they must not be saved."""

    def end_step(self, step: int, batch: Batch) -> None:
        """Count the data of optimiser step `step`, of which `batch` is the last micro-batch."""
        self.step = step
        self.step_sequences = batch.sequences
        self.sequences += batch.sequences
        self.tokens += batch.tokens

    def begin_numbers_of(self, split: str) -> None:
        """Forget the numbers of the evaluation before: what this one does not measure has no value now."""
        self.metrics = {name: value for name, value in self.metrics.items() if not name.startswith(f"{split}/")}

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Count what happens inside as a pause of training, for the measures of speed."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.paused_seconds += time.perf_counter() - start

    def plain(self) -> dict[str, Any]:
        """Return what a checkpoint keeps, under the names that its readers know."""
        return {
            "step": self.step,
            "consumed_sequences": self.sequences,
            "consumed_tokens": self.tokens,
            "seconds": self.seconds,
            "paused_seconds": self.paused_seconds,
            "metrics": dict(self.metrics),
            "owes_validation": self.validation_pending,
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take up what `plain` returned."""
        self.step = saved["step"]
        self.sequences, self.tokens = saved["consumed_sequences"], saved["consumed_tokens"]
        self.seconds, self.paused_seconds = saved["seconds"], saved["paused_seconds"]
        self.metrics = dict(saved["metrics"])
        self.validation_pending = saved["owes_validation"]
