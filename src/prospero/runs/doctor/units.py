"""What of the network does no work: units, heads; and heads that look at the first token alone. By the probe."""

from prospero.runs.doctor.finding import CannotJudge, Finding, Severity
from prospero.runs.doctor.probe import Probe
from prospero.runs.doctor.record import RunRecord

DORMANT, MOSTLY_DORMANT = 0.10, 0.25
SILENT = 0.10
SINKS = 0.5
DORMANT_UNITS = "dormant units: Sokar et al. 2023, arXiv:2302.12902; dying ReLU: Lu et al. 2019, arXiv:1903.06733"
HEADS = "superfluous heads: Michel et al. 2019, arXiv:1905.10650"
SINK = "attention sinks: Xiao et al. 2023, arXiv:2309.17453; Gu et al. 2024, arXiv:2410.10781"


def dead_units(run: RunRecord) -> Finding | None:
    """Many units of a layer give nothing, whatever they read."""
    shares = _probe(run).dormant
    if not shares:
        raise CannotJudge("the model has no hidden units that can be looked at")
    layer, worst = max(shares.items(), key=lambda item: item[1])
    if worst <= DORMANT:
        return None
    number = sum(shares.values()) / len(shares)
    activation = run.setting("model.activation")
    instead = "model.activation=swiglu or gelu, " if activation in ("relu", "relu2", "reglu") else ""
    severity = Severity.problem if worst > MOSTLY_DORMANT else Severity.warning
    return Finding(
        rule="dead_units", severity=severity, what="hidden units are dead", number=100 * worst,
        unit=f"% of the units of {layer} give next to nothing ({100 * number:.0f} % of all)", limit=100 * DORMANT,
        source=DORMANT_UNITS, advice=f"{instead}a lower optimizer.lr, a longer schedule.warmup_steps",
    )  # fmt: skip


def dead_heads(run: RunRecord) -> Finding | None:
    """Heads add next to nothing to what the others add."""
    probe = _probe(run)
    if not probe.heads:
        raise CannotJudge("the model has no attention heads")
    share = len(probe.silent_heads) / probe.heads
    if share <= SILENT:
        return None
    named = ", ".join(probe.silent_heads[:4])
    return Finding(
        rule="dead_heads", severity=Severity.warning, what="attention heads are dead", number=100 * share,
        unit=f"% of the heads add next to nothing ({named})", limit=100 * SILENT, source=HEADS,
        advice="fewer, wider heads (model.n_heads), model.qk_norm=true, or a lower optimizer.lr",
    )  # fmt: skip


def attention_sinks(run: RunRecord) -> Finding | None:
    """Most heads look at the first token alone."""
    probe = _probe(run)
    if not probe.heads:
        raise CannotJudge("the model has no attention heads")
    share = len(probe.sink_heads) / probe.heads
    if share <= SINKS:
        return None
    return Finding(
        rule="attention_sinks", severity=Severity.note, what="attention sinks", number=100 * share,
        unit="% of the heads give over 0.3 of their weight to the first token", limit=100 * SINKS, source=SINK,
        advice="usual in large models; keep the first token when a cache slides, beware when quantising activations",
    )  # fmt: skip


def _probe(run: RunRecord) -> Probe:
    if run.probe is None:
        raise CannotJudge(run.not_probed)
    return run.probe
