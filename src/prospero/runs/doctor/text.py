"""Whether there is enough text: for the model's size, for the length of the run, and in the sequences."""

from prospero.runs.doctor.finding import CannotJudge, Finding, Severity
from prospero.runs.doctor.record import RunRecord, Stage

LEAST_PARAMETERS = 20_000_000
"""Smaller models are what one tries things out with: they may read little text, or read it often."""
USUAL_TOKENS_PER_PARAMETER = 20
"""Compute-optimal by Hoffmann et al. 2022 (arXiv:2203.15556)."""
LEAST_TOKENS_PER_PARAMETER = 1.0
USUAL_EPOCHS, MOST_EPOCHS = 4.0, 16.0
"""Text read up to four times is as good as new, after sixteen it adds nothing (Muennighoff et al. 2023)."""
PADDED, MOSTLY_PADDED = 0.25, 0.6
REPEATING = "Muennighoff et al. 2023, arXiv:2305.16264"
PACKING = "packing: Krell et al. 2021, arXiv:2107.02027"


def too_few_tokens(run: RunRecord) -> Finding | None:
    """The model is too large for what it has read."""
    if run.parameters is None:
        raise CannotJudge("the model's size is not known")
    if not run.from_scratch or run.parameters < LEAST_PARAMETERS:
        return None
    tokens = run.tokens
    planned = run.planned_steps
    if run.stage is not Stage.ended and planned:
        tokens = max(tokens, planned * run.tokens_per_step)
    ratio = tokens / run.parameters
    if ratio >= LEAST_TOKENS_PER_PARAMETER:
        return None
    return Finding(
        rule="too_few_tokens", severity=Severity.warning, what="the model is too large for what it has read",
        number=ratio, unit="tokens were read for each parameter", limit=LEAST_TOKENS_PER_PARAMETER,
        source="Hoffmann et al. 2022, arXiv:2203.15556 (20 are compute-optimal)",
        advice=f"train {USUAL_TOKENS_PER_PARAMETER / max(ratio, 1e-9):,.0f} times as long, or choose a smaller model",
    )  # fmt: skip


def repeated_text(run: RunRecord) -> Finding | None:
    """The same text was read many times."""
    epochs = epochs_of(run)
    if epochs <= USUAL_EPOCHS:
        return None
    severity = Severity.warning if epochs > MOST_EPOCHS else Severity.note
    return Finding(
        rule="repeated_text", severity=severity, what="the same text was read many times", number=epochs,
        unit="times over", limit=USUAL_EPOCHS, source=REPEATING, advice="more text, or fewer steps (max_steps=)",
    )  # fmt: skip


def epochs_of(run: RunRecord) -> float:
    """Return how often training has read its text; CannotJudge where the text's size is not known."""
    sequences, seq_len = run.setting("train_sequences"), int(run.setting("seq_len") or 0)
    splits = run.receipt.get("splits")
    train = splits.get("train") if isinstance(splits, dict) else None
    sizes = [sequences * seq_len] if sequences else []
    sizes += [int(train["tokens"])] if isinstance(train, dict) and train.get("tokens") else []
    if not sizes or min(sizes) <= 0:
        raise CannotJudge("the size of the text is not known")
    return run.tokens / min(sizes)


def padding(run: RunRecord) -> Finding | None:
    """Much of every sequence is padding."""
    packing = run.parts.get("packing")
    if packing == "concat":
        return None  # has none
    if run.probe is None or run.probe.padding is None:
        raise CannotJudge(run.not_probed)
    share = run.probe.padding
    if share <= PADDED:
        return None
    if run.parts.get("data") in ("shapes", "captions"):
        severity, advice = Severity.note, f"a smaller seq_len (now {run.setting('seq_len')}); pictures stand alone"
    else:
        severity = Severity.problem if share > MOSTLY_PADDED else Severity.warning
        advice = "packing=best_fit" if packing == "padded" else f"a larger seq_len (now {run.setting('seq_len')})"
    return Finding(
        rule="padding", severity=severity, what="sequences are mostly padding", number=100 * share,
        unit="% of the positions hold no text", limit=100 * PADDED, source=PACKING, advice=advice,
    )  # fmt: skip
