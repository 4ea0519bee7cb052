"""Is the learning rate too high, or too low? By how far its steps move the weights, and by what the loss does.

In a network whose layers keep the size of what passes through them, a step must change a matrix by a small part of
itself (a thousandth to a hundredth late in training: Karpathy, CS231n notes, "ratio of weights:updates"), and all steps
together by about as much as it is (Yang, Simon and Bernstein 2023, "A spectral condition for feature learning",
arXiv:2310.17813). That holds for every optimiser alike, which a bound on the rate itself does not.
"""

import math

from prospero.runs.doctor.curve import integral, last_values
from prospero.runs.doctor.finding import CannotJudge, Finding, Severity
from prospero.runs.doctor.record import RunRecord, Stage

WHOLE_WEIGHT = 1.0
"""A step that changes weights by this many times what they were at the start replaces them."""
LEAST_TRAVEL = 0.3
"""Weights whose steps, all in one direction, would not add up to this part of them have hardly been trained."""
LEAST_STEPS = 20
RATIOS = "CS231n, ratio of weights to updates; Yang et al. 2023, arXiv:2310.17813"
EDGE = "edge of stability: Cohen et al. 2021, arXiv:2103.00065"


def rate_too_high(run: RunRecord) -> Finding | None:
    """A step moves weights by more than they were, the run gave up, or the loss ends above where it began."""
    advice = f"lower optimizer.lr (now {rate(run):.3g}) tenfold, or find one: prospero find_lr"
    what = "the learning rate is too high"
    if run.stage is Stage.diverged:
        times = float(len(run.rollbacks))
        return Finding(
            rule="rate_too_high", severity=Severity.problem, what=f"{what}: the run diverged and gave up",
            number=times, unit="times gone back", limit=0.0, source=EDGE, advice=advice,
        )  # fmt: skip
    found = _by_steps(run, what, advice)
    return found if found is not None else _by_loss(run, what, advice)


def _by_steps(run: RunRecord, what: str, advice: str) -> Finding | None:
    ratios, growth = run.series.get("train/update_ratio", []), dict(run.series.get("train/weight_growth", []))
    jumps = [ratio * growth[step] for step, ratio in ratios if step in growth]
    if not jumps or max(jumps) <= WHOLE_WEIGHT:
        return None
    return Finding(
        rule="rate_too_high", severity=Severity.problem, what=what, number=max(jumps),
        unit="times the weights at the start is how far one step moves them", limit=WHOLE_WEIGHT, source=RATIOS,
        advice=advice,
    )  # fmt: skip


def _by_loss(run: RunRecord, what: str, advice: str) -> Finding | None:
    curve = run.series.get("train/loss", [])
    if run.steps < LEAST_STEPS or len(curve) < 5:
        if not curve:
            raise CannotJudge("metrics.csv has no train/loss")
        return None
    run.needs_likelihood()
    first, last = curve[0][1], last_values(curve)
    end = sum(last) / len(last)
    if end <= first * 1.02:
        return None
    return Finding(
        rule="rate_too_high", severity=Severity.problem, what=f"{what}: the loss has risen", number=end / first,
        unit="times its first value is the loss at the end", limit=1.02, source=EDGE, advice=advice,
    )  # fmt: skip


def rate_too_low(run: RunRecord) -> Finding | None:
    """All steps together could not have moved the weights by a fair part of themselves."""
    run.needs_steps(LEAST_STEPS)
    if not run.from_scratch:
        raise CannotJudge("a model that goes on from another need not move far")
    ratios = run.curve("train/update_ratio", "callbacks=[vitals] was not chosen")
    travel = integral(ratios, run.steps)
    planned = run.planned_steps
    if run.stage is not Stage.ended and planned is not None:
        travel *= max(1.0, planned / run.steps)  # what is to come moves them no further than what was
    if travel >= LEAST_TRAVEL:
        return None
    return Finding(
        rule="rate_too_low", severity=Severity.problem, what="the learning rate is too low", number=travel,
        unit="times their size is how far all steps together can have moved the weights", limit=LEAST_TRAVEL,
        source=RATIOS, advice=_advice_too_low(run, travel),
    )  # fmt: skip


def _advice_too_low(run: RunRecord, travel: float) -> str:
    times = 10 ** math.ceil(math.log10(LEAST_TRAVEL / max(travel, 1e-9)))
    more = f"raise optimizer.lr (now {rate(run):.3g}) {min(times, 1000):,} times"
    return f"{more}, or find one: prospero find_lr"


def sharp(run: RunRecord) -> Finding | None:
    """Gradient descent of rate lr is unstable along a direction of curvature above 2 (1 + momentum) / lr."""
    if run.parts.get("optimizer") != "sgd":
        raise CannotJudge("the bound is one of plain gradient descent (optimizer=sgd)")
    if run.probe is None or run.probe.curvature is None:
        raise CannotJudge(run.not_probed)
    momentum = float(run.setting("optimizer.momentum") or 0.0)
    stable = 2 * (1 + momentum)
    number = rate(run) * run.probe.curvature
    if number <= 10 * stable:
        return None
    return Finding(
        rule="sharp", severity=Severity.warning, what="the loss is too curved for this learning rate", number=number,
        unit="is rate times curvature along the gradient", limit=10 * stable, source=EDGE,
        advice=f"lower optimizer.lr (now {rate(run):.3g}), or lengthen schedule.warmup_steps",
    )  # fmt: skip


def rate(run: RunRecord) -> float:
    """Return the largest learning rate so far; 0 where none is logged."""
    return max((value for _, value in run.series.get("train/lr", [])), default=0.0)
