"""Is the batch too small or too large for the noise of its gradient?

The gradient of B sequences is worth B / (B + B_noise) of the true one, and B_noise = tr(S) / |G|^2 (McCandlish et al.
2018, "An empirical model of large-batch training", arXiv:1812.06162). Far above it a step learns no more for its
tokens. Below it no token is lost, but what one step says is noise, and only the optimiser's memory of some steps is
not: below a certain part of it even that is.
"""

from statistics import mean

from prospero.runs.doctor.finding import CannotJudge, Finding, Severity
from prospero.runs.doctor.probe import NoiseScale
from prospero.runs.doctor.record import RunRecord

TOO_SMALL, TOO_LARGE = 100.0, 50.0
"""Times that the noise scale is larger than the batch, and that the batch is larger than the noise scale."""
RESOLVED = 10.0
"""A noise scale is told from a larger one up to so many times the sequences whose gradients were taken."""
LEAST_ROWS, LEAST_STEPS = 5, 100
SOURCE = "gradient noise scale: McCandlish et al. 2018, arXiv:1812.06162"


def batch_too_small(run: RunRecord) -> Finding | None:
    """The noise scale is many times the batch."""
    batch, scale = _sizes(run)
    if scale <= TOO_SMALL * batch:
        return None
    return Finding(
        rule="batch_too_small", severity=Severity.problem, what="the batch is too small for its noise",
        number=scale / batch, unit=f"times the batch of {batch} is the noise scale, or more", limit=TOO_SMALL,
        source=SOURCE, advice=f"raise global_batch_size to {_suggested(batch, scale)} (micro_batch_size keeps memory)",
    )  # fmt: skip


def batch_too_large(run: RunRecord) -> Finding | None:
    """The batch is many times the noise scale: most of its tokens say again what the others have said.

    The noise scale rises as a model learns, so that a run that has hardly begun is not judged.
    """
    run.needs_steps(LEAST_STEPS)
    batch, scale = _sizes(run)
    if batch <= TOO_LARGE * scale or batch < 2:
        return None
    return Finding(
        rule="batch_too_large", severity=Severity.warning, what="the batch is larger than its noise needs",
        number=batch / scale, unit=f"times the noise scale of {scale:.2g} sequences is the batch", limit=TOO_LARGE,
        source=SOURCE, advice=f"try global_batch_size={max(1, round(4 * scale))}: more steps for the same tokens",
    )  # fmt: skip


def noise_of_rows(run: RunRecord) -> NoiseScale | None:
    """Return the noise scale from the gradient norms of micro-batches and whole batches; None where none are logged.

    E|G_b|^2 = |G|^2 + tr(S) / b of two sizes b gives both; their means over the last half of the run, then the ratio.
    """
    micro, whole = dict(run.series.get("train/micro_grad_norm", [])), dict(run.series.get("train/grad_norm", []))
    batch, small = run.setting("global_batch_size"), run.setting("micro_batch_size")
    rows = [step for step in micro if step in whole and step > run.steps / 2]
    if not batch or not small or small >= batch or len(rows) < LEAST_ROWS:
        return None
    of_small, of_whole = (mean(norms[step] ** 2 for step in rows) for norms in (micro, whole))
    signal = (batch * of_whole - small * of_small) / (batch - small)
    noise = (of_small - of_whole) / (1 / small - 1 / batch)
    return NoiseScale(signal=signal, noise=noise, sequences=batch * len(rows))


def _sizes(run: RunRecord) -> tuple[int, float]:
    """Return (batch, noise scale), both in sequences."""
    found = run.probe.noise if run.probe is not None and run.probe.noise is not None else noise_of_rows(run)
    batch = int(run.setting("global_batch_size") or 0)
    if found is None or not batch:
        raise CannotJudge(run.not_probed)
    if found.noise <= 0:
        raise CannotJudge("the gradient has no noise to be measured")
    own = run.setting("train_sequences")
    if own is not None and own < found.sequences:
        raise CannotJudge(f"train_sequences={own} are too few to see noise")
    return batch, min(found.sequences_of_equal_noise, RESOLVED * found.sequences)


def _suggested(batch: int, scale: float) -> int:
    wanted = min(scale / 20, 64.0 * batch)
    size = batch
    while size < wanted:
        size *= 2
    return max(size, 8 * batch)
