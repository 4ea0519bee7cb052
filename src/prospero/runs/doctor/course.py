"""What the course of the loss says: spikes, and learning by heart."""

from statistics import median

from prospero.runs.doctor.curve import before, last_values, noise
from prospero.runs.doctor.finding import CannotJudge, Finding, Severity
from prospero.runs.doctor.record import RunRecord, Stage

ROWS_BEFORE = 9
"""Rows of which the median is what a loss is measured by."""
LEAST_ROWS, LEAST_BATCH = 12, 4
SPIKE_SIGMAS, SPIKE_SHARE = 10.0, 0.15
"""A spike stands so far above its neighbours: in their own noise, and in their height."""
RISE, GREAT_RISE = 0.02, 0.05
"""Rise of the validation loss above its lowest, as a share of that: Prechelt's GL, of which he stops at 5 %."""
SPIKES = "loss spikes: Chowdhery et al. 2022, arXiv:2204.02311, section 5.1; Takase et al. 2023, arXiv:2312.16903"
EARLY_STOPPING = "generalisation loss: Prechelt 1998, Early stopping - but when?"


def spike(run: RunRecord) -> Finding | None:
    """A step's loss stands far above those before it, or the run went back for it."""
    run.needs_likelihood()
    if run.rollbacks and run.stage is not Stage.diverged:
        steps = ", ".join(str(record.get("at_step", "?")) for record in run.rollbacks[:5])
        return _finding("the run went back", float(len(run.rollbacks)), f"times, at step {steps}", 0.0, lasting=True)
    losses = run.curve("train/loss")
    if len(losses) < LEAST_ROWS:
        raise CannotJudge(f"{len(losses)} rows are too few ({LEAST_ROWS})")
    batch = int(run.setting("global_batch_size") or 0)
    if batch < LEAST_BATCH:
        raise CannotJudge(f"the loss of a step is that of a batch of {batch} alone")
    worst = dict(run.series.get("train/loss_max", losses))
    sigma = noise(losses)
    heights: list[tuple[float, int, float]] = []
    for place in range(3, len(losses)):
        step, usual = losses[place][0], before(losses, place, ROWS_BEFORE)
        height = worst.get(step, losses[place][1]) - usual
        if height > SPIKE_SIGMAS * sigma and height > SPIKE_SHARE * abs(usual):
            heights.append((height, place, usual))
    if not heights:
        return None
    height, place, usual = max(heights)
    after = [value for _, value in losses[place + 1 :]]
    lasting = len(after) >= 3 and median(after) > usual + max(SPIKE_SHARE * abs(usual), sigma)
    what = "the loss spikes" + (", and does not come back" if lasting else "")
    unit = f"nats above its neighbours at step {losses[place][0]}" + (
        f", one of {len(heights)} rows with a spike" if len(heights) > 1 else ""
    )
    return _finding(what, height, unit, SPIKE_SIGMAS * sigma, lasting=lasting)


def _finding(what: str, number: float, unit: str, limit: float, *, lasting: bool) -> Finding:
    advice = (
        "look at the data of that step, lower optimizer.lr, or lengthen schedule.warmup_steps; regularizers=[z_loss]"
    )
    severity = Severity.problem if lasting else Severity.warning
    return Finding(
        rule="spike", severity=severity, what=what, number=number, unit=unit, limit=limit, source=SPIKES, advice=advice
    )


def overfit(run: RunRecord) -> Finding | None:
    """The validation loss has risen from its lowest, while that of training has not."""
    curve = run.curve("val/loss", "nothing was validated")
    if len(curve) < 2:
        raise CannotJudge("one validation alone")
    (since, lowest), end = min(curve, key=lambda point: point[1]), curve[-1][1]
    training = run.series.get("train/loss", [])
    at_lowest = [value for step, value in training if step <= since][-3:]
    rise = (end - lowest) / abs(lowest) if lowest else 0.0
    if rise <= RISE or not training or not at_lowest:
        return None
    if median(last_values(training)) > median(at_lowest):
        return None  # both rise: that is no overfitting
    severity = Severity.problem if rise > GREAT_RISE else Severity.warning
    return Finding(
        rule="overfit", severity=severity, what=f"overfit since step {since}", number=100 * rise,
        unit=f"% above its lowest ({lowest:.3f}) is the validation loss at step {curve[-1][0]}", limit=100 * RISE,
        source=EARLY_STOPPING,
        advice=f"stop at step {since} ('callbacks=[default,early_stopping]'), train on more text, or model.dropout=0.1",
    )  # fmt: skip
