"""Finished runs as a comparison sees them: their settings, their numbers, and those that are alike but for the seed."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, TypeVar

from prospero.configuration.reading import read_config, read_parts
from prospero.errors import DataError
from prospero.plain import flat
from prospero.runs.comparison.evaluations import Evaluated, evaluations_of
from prospero.runs.folder import RunFolder
from prospero.runs.result import Status, read_result

T = TypeVar("T")
NOT_COMPARED = (
    "seed", "name", "tags*", "run_dir", "outputs_dir", "resume", "buffer_mb", "plugins*", "traceback", "logger*",
    "data.num_workers", "callbacks.progress*", "callbacks.repetition*", "price_per_hour",
)  # fmt: skip
"""Patterns of settings that change nothing of what is measured, and the seed."""
OF_THE_TEXT = ("data", "cleaning", "dedup", "split", "tokenizer")
"""Groups that change what a token is, or the text that is validated on."""
OF_THE_ORDER = (*OF_THE_TEXT, "packing", "augmentation", "seq_len", "train_sequences")
"""What the order of the data depends on, with the seed."""
OF_A_TOKEN = ("loss", "perplexity", "loss_by_position", "loss_by_source")
"""Metrics that mean something else with every tokenizer."""
LIMITS = ("max_steps", "max_tokens", "max_flops", "max_minutes")
"""What a run may use; runs of one budget are judged among themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRun:
    """One run that came to its end."""

    name: str
    """How it is called: its folder without the date, or its place in a sweep."""
    folder: RunFolder
    settings: Mapping[str, Any]
    """Every setting by its dotted name; the kind of a part under the name of its group."""
    result: Mapping[str, Any]
    fingerprint: str | None = None
    """Of its prepared data."""
    evaluations: Mapping[str, Evaluated] = field(default_factory=dict)
    """Task -> its newest evaluation."""

    @property
    def seed(self) -> int | None:
        """The run's seed; None in a config.yaml without one."""
        return self.settings.get("seed")

    @property
    def values(self) -> dict[str, float]:
        """What was validated and tested at its end, and what its evaluations measured, by name."""
        found = {f"{task}/{name}": v for task, one in self.evaluations.items() for name, v in one.values.items()}
        return found | {
            name: float(value)
            for name, value in self.result.items()
            if name.partition("/")[0] in ("val", "test") and isinstance(value, int | float)
        }

    def higher_is_better(self, metric: str) -> bool:
        """Whether the larger is the better one, as the run has written; runs of before that wrote it minimise."""
        task, _, name = metric.partition("/")
        if task in self.evaluations:
            return self.evaluations[task].higher_is_better[name]
        judged_by = self.result.get("objective_name") == metric
        maximized = judged_by and self.result.get("objective_direction") == "maximize"
        return maximized or metric.partition("/")[2] in self.result.get("higher_is_better", ())

    @property
    def compared(self) -> dict[str, Any]:
        """The settings that may make a difference, without the seed."""
        return {
            name: value
            for name, value in self.settings.items()
            if not any(fnmatch(name, pattern) for pattern in NOT_COMPARED)
        }

    def same_order(self, other: "FinishedRun") -> bool:
        """Whether both have read the same text in the same order, where their seeds are the same."""
        mine, theirs = (_of(run.settings, OF_THE_ORDER) for run in (self, other))
        return mine == theirs and self.fingerprint == other.fingerprint


@dataclass(slots=True)
class Group:
    """Runs that differ in their seed alone."""

    name: str
    runs: list[FinishedRun]
    notes: list[str] = field(default_factory=list)

    @property
    def seeds(self) -> list[int | None]:
        """The seeds, in the order of the runs."""
        return [run.seed for run in self.runs]

    def values(self, metric: str) -> list[float]:
        """Return the number of each run; every run has one of that name."""
        return [run.values[metric] for run in self.runs]

    @property
    def limits(self) -> tuple[Any, ...]:
        """What its runs may use."""
        return tuple(self.runs[0].settings.get(name) for name in LIMITS)

    @property
    def budget(self) -> str:
        """What its runs may use, in words."""
        return " ".join(f"{name}={shown(limit)}" for name, limit in zip(LIMITS, self.limits) if limit is not None)


def read_run(folder: Path, name: str | None = None) -> FinishedRun | str:
    """Return the run in `folder`, or, in a few words, why it takes no part; DataError where there is no run."""
    run = RunFolder(folder)
    if not run.config.is_file():
        raise DataError(f"{folder} is no run: it has no {run.config.name}; give the folders or names of runs")
    result, called = read_result(folder), name or bare_name(folder)
    if not result:
        return "has not come to its end"
    if result.get("status", Status.done.value) != Status.done.value:
        return f"was {str(result['status']).lower()} before its end"
    settings = flat(read_config(run.config)) | read_parts(run.config)
    return FinishedRun(
        name=called,
        folder=run,
        settings=settings,
        result=result,
        fingerprint=_fingerprint(run),
        evaluations=evaluations_of(run),
    )


def bare_name(folder: Path) -> str:
    """Return the name of a run's folder without the date before it."""
    return re.sub(r"^\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_", "", folder.resolve().name)


def _fingerprint(run: RunFolder) -> str | None:
    try:
        found = json.loads(run.receipt.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found.get("fingerprint") if isinstance(found, dict) else None


def _of(settings: Mapping[str, Any], groups: Sequence[str]) -> dict[str, Any]:
    return {
        name: value
        for name, value in settings.items()
        if name.partition(".")[0] in groups and not any(fnmatch(name, pattern) for pattern in NOT_COMPARED)
    }


def grouped(runs: Iterable[FinishedRun], say: Callable[[str], None]) -> list[Group]:
    """Return the runs by their settings but for the seed, in the order in which they came.

    `say` hears of a run whose settings and seed another has already: it would count twice.
    """
    found: dict[str, Group] = {}
    for run in runs:
        key = json.dumps(run.compared, sort_keys=True, default=str)
        group = found.setdefault(key, Group(run.name, []))
        if run.seed in group.seeds:
            twin = group.runs[group.seeds.index(run.seed)]
            say(f"{run.name} is left out: {twin.name} has the same settings and the same seed")
        else:
            group.runs.append(run)
    groups = list(found.values())
    _name(groups)
    return groups


def _name(groups: Sequence[Group]) -> None:
    """Call each group by what its runs are called, as far as that tells them apart, else by its settings."""
    for group in groups:
        names = {without_seed(run.name) for run in group.runs}
        group.name = names.pop() if len(names) == 1 else ""
    counts = [group.name for group in groups]
    if all(group.name and counts.count(group.name) == 1 for group in groups):
        return
    differing = settings_that_differ(groups)
    plain = [name for name in differing if "." not in name] or list(differing)
    for place, group in enumerate(groups):
        words = [f"{name}={shown(differing[name][place])}" for name in plain[:3] if differing[name][place] is not None]
        words = words or [f"{name}={shown(value[place])}" for name, value in list(differing.items())[:3]]
        group.name = " ".join(words) or "these runs"
    for place, group in enumerate(groups):
        if [other.name for other in groups].count(group.name) > 1:
            group.name = f"{group.name} ({place + 1})"


def without_seed(name: str) -> str:
    """Return a run's name without the words that say its seed: of `lstm_seed2` and `lstm seed=2`, `lstm`."""
    return re.sub(r"[\s_.,-]*seed[=_-]?\d+|[\s_.,-]+s\d+$", "", name).strip()


def by_budget(items: Iterable[T], budget: Callable[[T], Any]) -> dict[Any, list[T]]:
    """Return the items by what their runs may use, where a budget has several; else all as one."""
    found: dict[Any, list[T]] = {}
    for item in items:
        found.setdefault(budget(item), []).append(item)
    if any(len(part) > 1 for part in found.values()):
        return found
    return {"": [item for part in found.values() for item in part]}


def settings_that_differ(groups: Sequence[Group]) -> dict[str, list[Any]]:
    """Return setting -> its value in each group, None where a group has no such setting, for those that differ.

    What only one kind of a part has (heads, where an LSTM has none) differs among those that have it, or not at all.
    """
    each = [group.runs[0].compared for group in groups]
    names = dict.fromkeys(name for settings in each for name in settings)
    found = {}
    for name in names:
        there = [json.dumps(settings[name], default=str) for settings in each if name in settings]
        if len(set(there)) > 1:
            found[name] = [settings.get(name) for settings in each]
    return dict(sorted(found.items(), key=lambda item: "." in item[0]))


def shown(value: Any) -> str:
    """Return the value of a setting as it is typed."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and abs(value) >= 1e6:
        return f"{value:g}"
    return f"[{','.join(map(shown, value))}]" if isinstance(value, list) else str(value)


def note_on_tokens(groups: Sequence[Group], metric: str) -> str:
    """Return a line when numbers made of nats per token are compared that do not share their tokens, else nothing."""
    if metric.partition("/")[2].partition("/")[0] not in OF_A_TOKEN:
        return ""
    texts = [_of(group.runs[0].settings, OF_THE_TEXT) for group in groups]
    found = sorted({n for text in texts for n in text if any(t.get(n) != text[n] for t in texts)})
    prints = {run.fingerprint for group in groups for run in group.runs}
    if not found and len(prints) < 2:
        return ""
    found = found or ["the prepared data"]
    return (
        f"note: {metric} is made of nats per token, which cannot be compared between different tokenizers or data "
        f"({', '.join(found)}); compare val/bits_per_byte"
    )
