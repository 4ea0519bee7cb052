"""Groups of runs compared by each of their numbers: who took part, how each stands, which difference is real."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from prospero.errors import ConfigError, suggest
from prospero.runs.comparison.runs import FinishedRun, Group, by_budget, note_on_tokens, settings_that_differ
from prospero.runs.comparison.verdicts import Measurements, OverSamples, Verdict, best_first, judge

LONG = ("loss_by_position", "loss_by_source")
"""Metrics of many parts, which are judged when they are asked for."""

SamplesOf = Callable[[FinishedRun, FinishedRun, str], OverSamples | None]
"""Two runs and a metric -> what the items of an evaluation that both have say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """Settings that are judged together by one number: those of one budget."""

    metric: str
    higher_is_better: bool
    standings: list[Measurements]
    """The best first."""
    verdicts: list[Verdict]
    """The best against each of the others."""
    budget: str = ""
    """What its runs may use, where there are several contests."""


@dataclass(slots=True, kw_only=True)
class Comparison:
    """What is shown."""

    groups: list[Group]
    contests: list[Contest]
    objective: str
    """The number by which the runs were judged while they trained, or the first that is compared."""
    notes: list[str] = field(default_factory=list)

    @property
    def differing(self) -> dict[str, list]:
        """Setting -> its value in each group."""
        return settings_that_differ(self.groups)


def compare(
    groups: Sequence[Group],
    metrics: Sequence[str] = (),
    *,
    over_samples: SamplesOf = lambda a, b, metric: None,
    notes: Sequence[str] = (),
) -> Comparison:
    """Judge the groups by `metrics`, or by every number that all of them have.

    ConfigError for a number that not all have, and where they have none in common.
    """
    runs = [run for group in groups for run in group.runs]
    chosen = _chosen(runs, metrics)
    said = [*notes, *filter(None, (note_on_tokens(groups, metric) for metric in chosen[:1]))]
    parts = by_budget(groups, lambda group: group.limits)
    contests = [
        _contest(part, metric, part[0].budget if len(parts) > 1 else "", over_samples)
        for metric in chosen
        for part in parts.values()
    ]
    return Comparison(groups=list(groups), contests=contests, objective=chosen[0], notes=said)


def _chosen(runs: Sequence[FinishedRun], asked: Sequence[str]) -> list[str]:
    """Return the numbers to compare by: those asked for, else all in common, that of the runs' objective first."""
    common = [name for name in runs[0].values if all(name in run.values for run in runs)]
    for name in asked:
        if name not in common:
            everywhere = {other for run in runs for other in run.values}
            lacking = [run.name for run in runs if name not in run.values]
            why = f" ({', '.join(lacking[:3])} has none)" if name in everywhere else ""
            raise ConfigError(
                f"There is no number '{name}' that all runs have{why}.{suggest(name, common)} "
                f"They have {', '.join(common) or 'none in common'}."
            )
    if not common:
        raise ConfigError(
            "these runs have no number in common; measure them alike: metrics=[...] when they are trained"
        )
    if asked:
        return list(dict.fromkeys(asked))
    objective = str(runs[0].result.get("objective_name"))
    names = [name for name in common if name.split("/")[1] not in LONG]
    finite = [name for name in names or common if all(math.isfinite(run.values[name]) for run in runs)]
    return sorted(finite or common, key=lambda name: name != objective)


def _contest(groups: Sequence[Group], metric: str, budget: str, over_samples: SamplesOf) -> Contest:
    higher = groups[0].runs[0].higher_is_better(metric)
    standings = [Measurements(name=g.name, values=g.values(metric), seeds=g.seeds) for g in groups]
    verdicts = judge(
        standings,
        higher_is_better=higher,
        same_order=lambda a, b: _same_order(groups[a], groups[b]),
        over_samples=lambda a, b: over_samples(groups[a].runs[0], groups[b].runs[0], metric),
    )
    ordered = [standings[place] for place in best_first(standings, higher)]
    return Contest(metric=metric, higher_is_better=higher, standings=ordered, verdicts=verdicts, budget=budget)


def _same_order(a: Group, b: Group) -> bool:
    return all(mine.same_order(other) for mine in a.runs for other in b.runs if mine.seed == other.seed)
