"""What of a step is not finite: the facts of all ranks count, in whichever of them it is."""

import math

import pytest
import torch

from prospero.training.divergence import SkippedStep
from prospero.training.guards import step_report
from prospero.training.guards.settings import GuardsConfig
from prospero.training.guards.step_report import STOP_REASONS, StepReports
from prospero.training.guards.step_watch import StepWatch
from prospero.training.state import RunState

NAN, INF = math.nan, math.inf
NAMES = ("cross_entropy", "z_loss")
WRONG = {
    "a term here": ((4.0, NAN), (4.0, 0.1), "z_loss"),
    "a term on another rank": ((4.0, 0.1), (4.0, INF), "z_loss"),
    "infinities that would cancel": ((4.0, INF), (4.0, -INF), "z_loss"),
    "a document on another rank": ((4.0, 0.1), (NAN, NAN), ""),
    "nothing by name": ((4.0, 0.1), (4.0, 0.1), ""),
}


class OnDevice(StepReports):
    """As on CUDA, where the numbers stay on the device until the next step."""

    def __init__(self, device, world_size):
        super().__init__(device, world_size)
        self.lagging = True


@pytest.mark.parametrize("lagging", [False, True], ids=["host", "device"])
@pytest.mark.parametrize(("here", "there", "named"), WRONG.values(), ids=WRONG)
def test_the_terms_that_are_not_finite_on_any_rank_are_named(here, there, named, lagging, monkeypatch):
    others = torch.tensor([NAN, *there, *[0.0] * len(STOP_REASONS)])
    monkeypatch.setattr(step_report, "sum_over_ranks", lambda mine: mine + others)
    if lagging:
        monkeypatch.setattr("prospero.training.guards.step_watch.StepReports", OnDevice)
    watch = StepWatch(GuardsConfig(), RunState())
    watch.open(torch.device("cpu"), 2)
    watch.stop_reasons_here = lambda: [0.0, 1.0, 0.0, 0.0, 0.0]
    for share in (0.25, 0.75):  # two micro-batches
        watch.add_loss(torch.tensor(share), {name: torch.tensor(v * share) for name, v in zip(NAMES, here)})
    with pytest.raises(SkippedStep):
        watch.report(1, 0.1, torch.tensor(1.0), None, scaled=False)
    assert watch.judge(2 if lagging else 1, speaks=False) is None
    (record,) = watch.guard.records
    assert record.terms == named and not record.finite
    assert watch.agreed_stop_reasons == [0.0, 1.0, 0.0, 0.0, 0.0]
