"""Measuring the items that are missing, shared among processes; what is done is never done again.

Items are worked on in blocks of `Subject.rows` neighbours, and blocks are dealt to the processes in turn. What stands
beside an item in a batch is therefore the same however many processes there are, and so are its numbers, bit for bit.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from prospero.evaluation.measurement import Measured, Measurement, Subject
from prospero.evaluation.samples_file import Line, SamplesWriter, line_of
from prospero.log import duration, log

SAY_SECONDS = 15.0
"""Seconds between two lines about how far it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Which of several processes this one is."""

    rank: int = 0
    world_size: int = 1


def missing_items(measurement: Measurement, done: Sequence[int]) -> list[int]:
    """Return the items that are not done yet."""
    known = set(done)
    return [item for item in range(measurement.size) if item not in known]


def blocks(items: Sequence[int], rows: int) -> list[list[int]]:
    """Return `items` in groups: those of one block of `rows` neighbours together."""
    found: dict[int, list[int]] = {}
    for item in items:
        found.setdefault(item // rows, []).append(item)
    return list(found.values())


def run_task(
    measurement: Measurement,
    subject: Subject,
    missing: Sequence[int],
    *,
    share: Share,
    made_with: str,
    writer: SamplesWriter,
) -> float:
    """Measure this process's share of the `missing` items, append their lines, and return the seconds it took."""
    begun = said = time.perf_counter()
    mine, done = blocks(missing, subject.rows)[share.rank :: share.world_size], 0
    total = sum(map(len, mine))
    for block in mine:
        outcomes = sorted(measurement.outcomes(subject, block), key=lambda outcome: outcome.item)
        if [outcome.item for outcome in outcomes] != block:
            raise RuntimeError(f"{measurement.name} was asked for the items {block} and measured others")
        writer.append([line_of(measurement, outcome, made_with) for outcome in outcomes])
        done += len(block)
        if (now := time.perf_counter()) - said > SAY_SECONDS:
            said = now
            left = (now - begun) / done * (total - done)
            log.info("%s: %s of %s items, about %s left", measurement.name, f"{done:,}", f"{total:,}", duration(left))
    return time.perf_counter() - begun


def measured(measurement: Measurement, lines: Sequence[Line]) -> Measured:
    """Return what the lines of a task say, all items in order."""
    outcomes = sorted((line.outcome for line in lines if line.task == measurement.name), key=lambda one: one.item)
    if [outcome.item for outcome in outcomes] != list(range(measurement.size)):
        raise RuntimeError(f"{measurement.name}: {len(outcomes)} of {measurement.size} items have a line")
    return Measured(measurement, outcomes)


def measure_all(
    measurements: Sequence[Measurement],
    subject: Subject,
    missing: Mapping[str, Sequence[int]],
    *,
    share: Share,
    made_with: Mapping[str, str],
    open_writer: Callable[[], SamplesWriter],
) -> dict[str, float]:
    """Measure what is `missing` of every task, one after the other; return the seconds of each in this process."""
    seconds: dict[str, float] = {}
    writer = open_writer()
    try:
        for one in measurements:
            name, todo = one.name, missing[one.name]
            seconds[name] = run_task(one, subject, todo, share=share, made_with=made_with[name], writer=writer)
            found = one.size - len(todo)
            already = f" ({found:,} were done already)" if found else ""
            log.info("%s: %s items in %s%s", name, f"{len(todo):,}", duration(seconds[name]), already)
    finally:
        writer.close()
    return seconds
