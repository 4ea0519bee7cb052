"""Spikes and learning by heart."""

import pytest

from prospero.runs.doctor.course import overfit, spike
from prospero.runs.doctor.finding import CannotJudge, Severity
from tests.runs.doctor.records import falling, record


def with_peak(height: float, lasting: bool = False) -> dict:
    losses = falling()
    worst = [(step, value + (height if step == 120 else 0.1)) for step, value in losses]
    if lasting:
        losses = [(step, value + (height if step >= 120 else 0.0)) for step, value in losses]
    return {"train/loss": losses, "train/loss_max": worst}


def test_a_loss_that_falls_has_no_spike():
    assert spike(record()) is None


def test_a_spike_between_two_rows_is_seen():
    found = spike(record(series=with_peak(5.0)))
    assert found is not None and found.severity is Severity.warning and "at step 120" in found.unit
    assert spike(record(series=with_peak(1.0))) is None  # within ten times the noise of this steep fall


def test_a_spike_that_stays_is_a_problem():
    found = spike(record(series=with_peak(5.0, lasting=True)))
    assert found is not None and found.severity is Severity.problem and "does not come back" in found.what


def test_a_run_that_went_back():
    found = spike(record(rollbacks=[{"at_step": 77}]))
    assert found is not None and found.number == 1 and "step 77" in found.unit


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"settings": {"global_batch_size": 1}}, "a batch of 1 alone"),
        ({"settings": {"loss": {"grpo": {}}}}, "loss=grpo has another course"),
        ({"series": {"train/loss": falling()[:5]}}, "5 rows are too few"),
    ],
)
def test_what_cannot_be_judged(changes, why):
    with pytest.raises(CannotJudge, match=why):
        spike(record(**changes))


def test_overfit_since_the_lowest_validation():
    found = overfit(record(series={"val/loss": [(50, 3.0), (100, 2.5), (150, 2.8), (200, 3.0)]}))
    assert found is not None and found.what == "overfit since step 100" and found.number == pytest.approx(20)
    assert found.severity is Severity.problem
    slight = overfit(record(series={"val/loss": [(100, 2.5), (200, 2.6)]}))
    assert slight is not None and slight.severity is Severity.warning


def test_a_validation_loss_that_wavers_or_rises_with_that_of_training_is_none():
    assert overfit(record()) is None
    assert overfit(record(series={"val/loss": [(100, 2.5), (200, 2.54)]})) is None
    both = {"val/loss": [(100, 2.5), (200, 3.5)], "train/loss": falling(2.0, 4.0)}
    assert overfit(record(series=both)) is None


def test_without_validations_there_is_no_answer():
    for curve, why in (([], "nothing was validated"), ([(200, 2.0)], "one validation alone")):
        with pytest.raises(CannotJudge, match=why):
            overfit(record(series={"val/loss": curve}))
