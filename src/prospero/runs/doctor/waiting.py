"""Time in which nothing was learnt: waiting for data, and saving."""

from itertools import pairwise

from prospero.runs.doctor.finding import CannotJudge, Finding, Severity
from prospero.runs.doctor.record import RunRecord

WAITING, MOSTLY_WAITING = 0.10, 0.30
SAVING = 0.05
LEAST_SAVING_SECONDS, LEAST_SAVES = 10.0, 3
UTILIZATION = (
    "MLPerf Storage: accelerators are to be busy 90 % of the time; tf.data: Murray et al. 2021, arXiv:2101.12127"
)
CHECKPOINTS = "CheckFreq: Mohan et al. 2021, USENIX FAST (3.5 % is the overhead that it keeps to)"


def data_bound(run: RunRecord) -> Finding | None:
    """Training waits for its data for a large part of the time."""
    waits = run.curve("train/data_wait_ratio", "callbacks=[throughput] was not chosen")
    if len(waits) < 3:
        raise CannotJudge(f"{len(waits)} rows are too few (3)")
    seconds = dict(run.series.get("train/step_seconds", []))
    first = waits[0][0]
    spans = [(value, (step - before) * seconds.get(step, 1.0)) for (before, _), (step, value) in pairwise(waits)]
    total = sum(span for _, span in spans)
    share = sum(value * span for value, span in spans) / total if total else 0.0
    if share <= WAITING or first >= run.steps:
        return None
    workers = int(run.setting("data.num_workers") or 0)
    severity = Severity.problem if share > MOSTLY_WAITING else Severity.warning
    return Finding(
        rule="data_bound", severity=severity, what="training waits for its data", number=100 * share,
        unit="% of the time of a step is waiting", limit=100 * WAITING, source=UTILIZATION,
        advice=f"data.num_workers={max(2, 2 * workers)}, a cheaper augmentation, or outputs_dir= on a faster disk",
    )  # fmt: skip


def checkpoint_time(run: RunRecord) -> Finding | None:
    """Saving holds training up for a large part of the time."""
    stalls = run.series.get("train/checkpoint_stall_seconds", [])
    seconds = run.curve("train/seconds", "callbacks=[throughput] was not chosen")[-1][1]
    stalled = sum(value for _, value in stalls)
    share = stalled / (seconds + stalled) if seconds + stalled > 0 else 0.0
    if share <= SAVING or stalled < LEAST_SAVING_SECONDS or len(stalls) < LEAST_SAVES:
        return None
    return Finding(
        rule="checkpoint_time", severity=Severity.warning, what="saving takes too much of the time",
        number=100 * share, unit=f"% of the time is saving, {len(stalls)} times", limit=100 * SAVING,
        source=CHECKPOINTS,
        advice="callbacks.checkpoints.every_minutes=30 (every_steps=null), or callbacks.checkpoints.asynchronous=true",
    )  # fmt: skip
