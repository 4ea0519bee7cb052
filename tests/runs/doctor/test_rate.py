"""Rates that are too high or too low, by numbers of real runs 100 times off either way (see docs/DOCTOR.md)."""

import pytest

from prospero.runs.doctor.finding import CannotJudge, Severity
from prospero.runs.doctor.rate import rate_too_high, rate_too_low, sharp
from prospero.runs.doctor.record import Stage
from tests.runs.doctor.records import course, falling, probe, record


def test_a_healthy_rate():
    assert rate_too_high(record()) is None
    assert rate_too_low(record()) is None


def test_a_step_that_replaces_the_weights():
    series = {"train/update_ratio": course(0.02, at_20=0.5), "train/weight_growth": course(1.0, at_20=3.0)}
    found = rate_too_high(record(series=series))
    assert found is not None and found.number == 1.5 and found.severity is Severity.problem
    assert "lower optimizer.lr (now 0.02)" in found.advice
    series["train/weight_growth"] = course(1.0, at_20=1.9)  # 0.95: not more than all of them
    assert rate_too_high(record(series=series)) is None


def test_a_loss_that_ends_above_its_beginning():
    found = rate_too_high(record(series={"train/loss": falling(5.0, 6.0), "train/update_ratio": []}))
    assert found is not None and found.number == pytest.approx(1.183, abs=0.01)


def test_a_run_that_gave_up():
    found = rate_too_high(record(stage=Stage.diverged, rollbacks=[{}, {}, {}]))
    assert found is not None and found.number == 3 and "diverged" in found.what


def test_weights_that_could_not_move():
    found = rate_too_low(record(series={"train/update_ratio": course(0.0005)}))
    assert found is not None and found.number == pytest.approx(0.1)
    assert "raise optimizer.lr (now 0.02) 10 times" in found.advice
    assert rate_too_low(record(series={"train/update_ratio": course(0.002)})) is None  # 0.4 of themselves


def test_a_run_that_still_trains_has_steps_to_come():
    series = {"train/update_ratio": course(0.001)}
    assert rate_too_low(record(series=series)) is not None
    assert rate_too_low(record(series=series, stage=Stage.training, settings={"max_steps": 400})) is None


def test_what_goes_on_from_another_model_need_not_move_far():
    for changes in ({"settings": {"init_from": "last"}}, {"parts": {"adapter": "lora"}}):
        with pytest.raises(CannotJudge, match="goes on from another"):
            rate_too_low(record(series={"train/update_ratio": course(1e-6)}, **changes))


def test_a_run_killed_at_its_third_step():
    series = {"train/loss": [(1, 5.0), (2, 5.1), (3, 5.3)], "train/update_ratio": [(1, 1e-9)]}
    run = record(series={**{name: [] for name in record().series}, **series})
    assert rate_too_high(run) is None
    with pytest.raises(CannotJudge, match="3 steps are too few"):
        rate_too_low(run)


def test_curvature_bounds_the_rate_of_gradient_descent():
    settings = {"optimizer": {"lr": 0.1, "momentum": 0.9}}
    parts = {"optimizer": "sgd"}
    series = {"train/lr": course(0.1)}
    of = {"settings": settings, "parts": parts, "series": series}
    assert sharp(record(probe=probe(curvature=300.0), **of)) is None  # 0.1 x 300 = 30 < 10 x 2 x 1.9
    found = sharp(record(probe=probe(curvature=500.0), **of))
    assert found is not None and found.number == pytest.approx(50) and found.limit == pytest.approx(38)
    with pytest.raises(CannotJudge, match="optimizer=sgd"):
        sharp(record(probe=probe()))
