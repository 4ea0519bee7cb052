"""The watch over a run's steps: loss and gradient of each, over all ranks; what is not finite is not taken."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from prospero.log import log
from prospero.training.divergence import SkippedStep
from prospero.training.guards.settings import GuardsConfig
from prospero.training.guards.step_guard import StepGuard, StepRecord
from prospero.training.guards.step_report import STOP_REASONS, StepReport, StepReports
from prospero.training.state import RunState


class StepWatch:
    """Collects a step's losses, lets the ranks agree whether it is taken, and judges the course of the run.

    `where(record)` names the training data of a step.
    """

    def __init__(
        self, config: GuardsConfig | None, state: RunState, where: Callable[[StepRecord], str] = lambda record: ""
    ) -> None:
        self.guard = StepGuard(config)
        self.state = state
        self.where = where
        self.stop_reasons_here: Callable[[], list[float]] = lambda: [0.0] * len(STOP_REASONS)
        """This rank's reasons to stop, asked for once a step when there are several ranks."""
        self.agreed_stop_reasons = [0.0] * len(STOP_REASONS)
        """The reasons of all ranks, in the order of STOP_REASONS."""
        self.world_size = 1
        self._reports: StepReports | None = None
        self._losses: list[Tensor] = []
        self._parts: list[Mapping[str, Tensor]] = []
        self._due: list[StepRecord] = []

    @property
    def enabled(self) -> bool:
        """Whether loss and gradient are judged."""
        return self.guard.config.enabled

    @property
    def reporting(self) -> bool:
        """Whether steps are reported: to be judged, or because several ranks have to agree when to stop."""
        return self.enabled or self.world_size > 1

    def open(self, device: torch.device, world_size: int) -> None:
        """Begin, on `device`, with that many ranks."""
        self.world_size = world_size
        self._reports = StepReports(device, world_size)

    def add_loss(self, loss: Tensor, parts: Mapping[str, Tensor]) -> None:
        """Take the loss of a micro-batch, and its named parts."""
        if self.reporting:
            self._losses.append(loss.detach())
            self._parts.append(parts)

    def report(self, step: int, lr: float, grad_norm: Tensor | None, optimizer: Any, *, scaled: bool) -> None:
        """Raise SkippedStep, or let a fused kernel leave the weights alone, when loss or gradient is not finite.

        Adam and AdamW on CUDA read the decision on the device, where nobody waits for it; for other optimisers the host
        waits for the gradient's norm. float16 (`scaled`) has a scaler, which overflows, skips and recovers by itself.
        """
        assert self._reports is not None, "the watch is opened before the first step"
        losses, self._losses = self._losses, []
        parts, self._parts = self._parts, []
        loss = _sum(losses)
        terms = {name: _sum([part[name] for part in parts]) for name in (parts[0] if parts else ())}
        norm = loss.new_zeros(()) if scaled or grad_norm is None else grad_norm
        reasons = self.stop_reasons_here() if self.world_size > 1 else []
        finite = self._reports.send(step, lr, loss, norm, terms, reasons)
        if scaled or not self.enabled:
            return
        if isinstance(finite, Tensor) and _kernel_skips(optimizer):
            optimizer.found_inf = (~finite).float()
        elif not finite:
            raise SkippedStep

    def judge(self, step: int, *, speaks: bool) -> str | None:
        """Read the numbers of the steps that are due; return why the run must go back, or None; the same on every rank.

        On a CPU that is `step`, on CUDA the one before it. Skipped steps are counted and, where this rank `speaks`,
        said.
        """
        reports = self._reports.due(step) if self._reports is not None else []
        found = [(report, *report.read()) for report in reports]
        records, self._due = [*self._due, *(self._record(step, r, loss, norm) for r, loss, norm, _ in found)], []
        if found and self.world_size > 1:
            self.agreed_stop_reasons = [max(together) for together in zip(*(reasons for *_, reasons in found))]
        verdict = None
        if self.enabled:
            for record in records:
                verdict = self.guard.read(record) or verdict
                if not record.finite and speaks:
                    where = "see its settings" if record.terms else self.where(record)
                    log.warning("step %d skipped: %s is not finite; %s", record.step, record.what, where)
        return verdict

    def _record(self, step: int, report: StepReport, loss: float, norm: float) -> StepRecord:
        last = self.state.sequences - (step - report.step) * self.state.step_sequences
        bad = [] if math.isfinite(loss) else report.not_finite()
        terms = ", ".join(bad) if len(bad) < len(report.terms) else ""  # where all are, it is the data
        return StepRecord(report.step, loss, norm, float(report.lr), last - self.state.step_sequences, last, terms)

    def plain(self) -> dict[str, Any]:
        """Return what a checkpoint keeps, reports that are not read yet included."""
        pending = self._reports.pending() if self._reports is not None else []
        due = [*self._due, *(self._record(self.state.step, report, *report.read()[:2]) for report in pending)]
        return {**self.guard.state_dict(), "due": [asdict(record) for record in due]}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take up what `plain` returned."""
        self.guard.load_state_dict(dict(saved))
        self._due = [StepRecord(**record) for record in saved["due"]]


def _sum(values: list[Tensor]) -> Tensor:
    return values[0] if len(values) == 1 else torch.stack(values).sum()


def _kernel_skips(optimizer: Any) -> bool:
    """Whether the optimiser's fused kernel reads `found_inf`, which torch sets up for its gradient scaler."""
    return isinstance(optimizer, torch.optim.Adam) and getattr(optimizer, "_step_supports_amp_scaling", False)
