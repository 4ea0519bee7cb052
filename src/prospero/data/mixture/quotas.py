"""How many sequences of each part every step reads: whole numbers whose sums never leave what was asked by one.

After s steps part k was asked for Q_k(s) sequences, a fraction. It has given C_k(s), always Q_k(s) rounded down or up.
Sequence i of a part may be given from the step in which Q_k passes i and must be by the one in which it reaches i + 1;
among those that may, the one that must the earliest goes first. (Tijdeman 1980, "The chairman assignment problem";
Steiner and Yeomans 1993. A schedule within these bounds exists, since the fractions themselves are one and flows have
whole solutions, and for jobs of one size the earliest deadline first finds it, whatever the shares do over the steps.)
All is exact arithmetic and a function of the step alone: nothing is kept in a checkpoint.
"""

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from prospero.data.mixture.shares import Stage
from prospero.errors import DataError

BLOCK = 256
"""Steps computed and kept at a time."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Steps [start, stop) that are asked alike: Q_k(s) = (begun[k] + rates[k] (s - start)) / unit."""

    start: int
    stop: int | None
    unit: int
    begun: tuple[int, ...]
    rates: tuple[int, ...]

    def asked(self, step: int) -> list[int]:
        """Return unit x Q_k after `step` steps."""
        return [begun + rate * (step - self.start) for begun, rate in zip(self.begun, self.rates)]


class Quotas:
    """`taken(step)`: the sequences that each part has given before a step; `ends`: the steps there are, None: endless.

    `limits` [K] are the sequences that a part has to give in all, None for no end. A part that has none left gives its
    share to the others by their shares, within the step in which it ends, which `last_steps` names.
    """

    def __init__(self, stages: Sequence[Stage], step_size: int, limits: Sequence[int | None]) -> None:
        self.step_size, self.limits = step_size, tuple(limits)
        self.last_steps: dict[int, int] = {}
        self.segments, self.ends = self._planned(stages)
        self._starts = [segment.start for segment in self.segments]
        self._known: dict[int, tuple[int, ...]] = {0: (0,) * len(limits)}
        """Block -> what has been given before its first step."""
        self._block: tuple[int, list[tuple[int, ...]]] | None = None

    def taken(self, step: int) -> tuple[int, ...]:
        """Return how many sequences each part has given before `step` (the first is 0); DataError after the end."""
        if self.ends is not None and step > self.ends:
            raise DataError(
                f"the mixture has no text for step {step}: its max_epochs allow {self.ends} steps; raise them, or end "
                "the run before"
            )
        number, place = divmod(step, BLOCK)
        if self._block is None or self._block[0] != number:
            self._block = number, self._rows(number)
        return self._block[1][place]

    def _rows(self, number: int) -> list[tuple[int, ...]]:
        """Return what was given before each step of a block."""
        step, given = self._nearest(number * BLOCK)
        while step < number * BLOCK:
            given = self._after(step, given)
            step += 1
            if step % BLOCK == 0:
                self._known[step // BLOCK] = given
        rows = [given]
        last = step + BLOCK - 1 if self.ends is None else min(step + BLOCK - 1, self.ends)
        while step < last:
            rows.append(self._after(step, rows[-1]))
            step += 1
        return rows

    def _nearest(self, step: int) -> tuple[int, tuple[int, ...]]:
        """Return the last step up to `step` for which it is known what was given before: where all Q are whole too."""
        number = max(block for block in self._known if block * BLOCK <= step)
        known = number * BLOCK, self._known[number]
        if not self.segments:
            return known
        segment = self.segments[bisect.bisect_right(self._starts, step) - 1]
        if any(begun % segment.unit for begun in segment.begun):
            return known
        period = segment.unit // math.gcd(segment.unit, *segment.rates)
        whole = segment.start + (step - segment.start) // period * period
        if whole <= known[0]:
            return known
        return whole, tuple(asked // segment.unit for asked in segment.asked(whole))

    def _after(self, step: int, given: tuple[int, ...]) -> tuple[int, ...]:
        """Return what has been given after `step`, of which `given` was before it."""
        place = bisect.bisect_right(self._starts, step) - 1
        segment = self.segments[place]
        asked, unit = segment.asked(step + 1), segment.unit
        now = [max(wanted // unit, before) for wanted, before in zip(asked, given)]
        left = sum(given) + self.step_size - sum(now)
        may = [k for k, wanted in enumerate(asked) if -(-wanted // unit) > now[k]] if left else []
        for k in sorted(may, key=lambda k: (self._deadline(k, now[k] + 1, place), k))[:left]:
            now[k] += 1
        return tuple(now)

    def _deadline(self, k: int, number: int, place: int) -> float:
        """Return the steps after which Q_k reaches `number`, looked for from a segment on."""
        for segment in self.segments[place:]:
            missing = number * segment.unit - segment.begun[k]
            if segment.rates[k]:
                step = segment.start + -(-missing // segment.rates[k])
                if segment.stop is None or step <= segment.stop:
                    return step
        return math.inf

    def _planned(self, stages: Sequence[Stage]) -> tuple[list[Segment], int | None]:
        """Return the segments, and the number of whole steps until no part with a share is left."""
        found: list[Segment] = []
        step, asked = 0, [Fraction(0)] * len(self.limits)
        while True:
            place = bisect.bisect_right([stage.step for stage in stages], step) - 1
            changes = stages[place + 1].step if place + 1 < len(stages) else None
            shares = self._shared(stages[place].shares, asked)
            if shares is None:
                return found, step
            whole = self._whole_steps(shares, asked)
            stop = min((end for end in (changes, None if whole is None else step + whole) if end is not None),
                       default=None)  # fmt: skip
            amounts = [self.step_size * share for share in shares]
            if stop == step:  # a part ends within this step
                within = self._within_a_step(stages[place].shares, asked, step)
                if within is None:
                    return found, step
                amounts, stop = within, step + 1
            found.append(_segment(step, stop, asked, amounts))
            if stop is None:
                return found, None
            asked = [before + amount * (stop - step) for before, amount in zip(asked, amounts)]
            for k, limit in enumerate(self.limits):
                if limit is not None and asked[k] >= limit:
                    self.last_steps.setdefault(k, stop)
            step = stop

    def _shared(self, shares: Sequence[Fraction], asked: Sequence[Fraction]) -> list[Fraction] | None:
        """Return the shares among the parts that have something left; None when none of them has a share."""
        left = [
            share if limit is None or before < limit else Fraction(0)
            for share, before, limit in zip(shares, asked, self.limits)
        ]
        total = sum(left)
        return [share / total for share in left] if total else None

    def _whole_steps(self, shares: Sequence[Fraction], asked: Sequence[Fraction]) -> int | None:
        """Return the steps that every part can give its share of; None when there is no end."""
        return min(
            (
                math.floor((limit - before) / (self.step_size * share))
                for share, before, limit in zip(shares, asked, self.limits)
                if limit is not None and share
            ),
            default=None,
        )

    def _within_a_step(self, shares: Sequence[Fraction], asked: Sequence[Fraction], step: int) -> list[Fraction] | None:
        """Return what each part gives in a step in which some end; None when all of them do before it is full."""
        amounts, left = [Fraction(0)] * len(shares), Fraction(self.step_size)
        while left:
            now = self._shared(shares, [before + amount for before, amount in zip(asked, amounts)])
            if now is None:
                return None
            rooms = [
                (limit - before - amount) / share
                for limit, before, amount, share in zip(self.limits, asked, amounts, now)
                if limit is not None and share
            ]
            part = min([left, *rooms])
            amounts = [amount + part * share for amount, share in zip(amounts, now)]
            left -= part
        return amounts


def _segment(step: int, stop: int | None, asked: Sequence[Fraction], amounts: Sequence[Fraction]) -> Segment:
    unit = math.lcm(*(value.denominator for value in (*asked, *amounts)))
    begun, rates = ([int(value * unit) for value in values] for values in (asked, amounts))
    return Segment(step, stop, unit, tuple(begun), tuple(rates))
