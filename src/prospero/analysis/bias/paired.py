"""Pairs of texts that differ in who they are about: which one does the model think likelier, and by how much?

An item is a bundle of pairs that belong together (an occupation in several sentences), so that an interval over items
takes them as one observation. Of each pair log p(first) - log p(second) is measured, in nats. Numbers, for each group:

    difference/<group>   the mean: whom the model favours; 0 for none, above 0 for the first of each pair
    absolute/<group>     the mean of its size: how much it matters who a text is about, whichever side gains
    preferred/<group>    the share of pairs whose first text is the likelier one; 0.5 for none (where it is asked for)
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from prospero.analysis.bias.floor import COLUMNS, Effect, centred, forests, reach, word_reach
from prospero.analysis.bias.likelihood import Pair, Scored, differences
from prospero.data.records import fingerprint
from prospero.evaluation.measurement import Measured, Measurement, Outcome, Quantity, Subject, Table, ratio
from prospero.evaluation.results import Estimate, estimates

NULL = "null"
"""The group of neutral pairs, where there is one for all."""
LEVEL = {True: "yes", False: "no: more than chance, or the one time in twenty", None: "not known"}
CAVEATS = [
    "A difference of log-probabilities is not harm: it says which text the model thinks likelier, not what it would do "
    "or whom that would hurt (Blodgett et al. 2020).",
    "A number near 0 is no proof of fairness: these sentences did not show it; others may (Rudinger et al. 2018).",
    "It depends on the wording of the sentences and on the tokenizer; compare models on the same ones only, and expect "
    "other sets to rank them otherwise (Delobelle et al. 2022).",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairItem:
    """Pairs that count as one observation."""

    pairs: Sequence[Pair]
    groups: Sequence[str]
    """Every group that it counts in, as they stand in the names of numbers; neutral items count in their own alone."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """What a reader wants to see of it."""
    sides: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """By what -> for each pair 1 or 2, on which side of a contrast it stands, or 0 for none (see `Contrast`)."""
    known: float | None = None
    """A number from elsewhere that its difference is compared with (see `known_as`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """Mean difference of a group's items on side 1, less that of its items on side 2: what is common cancels."""

    name: str
    group: str
    by: str
    """The key of `PairItem.sides`."""
    title: str
    """What is less what, the same for all groups."""
    null: str
    """The contrast whose interval is its noise floor; empty where none is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What is made of the items, and how it is told."""

    groups: Mapping[str, str]
    """Group -> how it is called, neutral ones last."""
    nulls: Mapping[str, str]
    """Group -> the group that is its noise floor; those floors are no keys here."""
    sides: str
    """What a difference above 0 favours, in a few words."""
    scored: Scored
    preferred: bool = False
    """Whether the share of pairs with a likelier first text is measured."""
    contrasts: Sequence[Contrast] = ()
    words: Mapping[str, int] = field(default_factory=dict)
    """Group -> how many different words stand for a side of it, where its floor has two neutral words to an item."""
    known_as: str = ""
    """What `PairItem.known` is; its correlation with the difference is measured as `correlation`."""


def contrast(sums: np.ndarray) -> np.ndarray:
    """Return a / b - c / d of sums [..., 4]; NaN where a side was not measured."""
    return ratio(sums[..., :2]) - ratio(sums[..., 2:])


def correlation(sums: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation of sums [..., 6] of 1, x, y, xx, yy, xy; NaN where one of them does not vary."""
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        above, below = n * xy - x * y, (n * xx - x * x) * (n * yy - y * y)
        known = below > 1e-18 * np.maximum(n * xx * n * yy, 1e-300)
        return np.where(known, above / np.sqrt(np.where(known, below, 1.0)), np.nan)


class PairedTexts(Measurement):
    """See the head of this file."""

    judged = False

    def __init__(
        self,
        name: str,
        items: Sequence[PairItem],
        design: Design,
        facts: Mapping[str, Any],
        caveats: Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        self.name, self.items, self.design, self.seed = name, list(items), design, seed
        self.known_facts, self.more_caveats = dict(facts), list(caveats)

    @property
    def quantities(self) -> list[Quantity]:
        """The contrasts, then the numbers of each group."""
        found = [Quantity(name=one.name, finish=contrast, higher_is_better=False) for one in self.design.contrasts]
        if self.design.known_as:
            found.append(Quantity(name="correlation", finish=correlation, higher_is_better=False))
        for kind in ("preferred", "difference", "absolute"):
            if kind != "preferred" or self.design.preferred:
                found += [
                    Quantity(name=f"{kind}/{group}", finish=ratio, higher_is_better=False)
                    for group in self.design.groups
                ]
        return found

    @property
    def size(self) -> int:
        """How many bundles of pairs there are."""
        return len(self.items)

    @property
    def facts(self) -> dict[str, Any]:
        """The settings, what the items are, and how many pairs."""
        values = [[[pair.first, pair.second] for pair in item.pairs] for item in self.items]
        known = {"pairs": sum(map(len, values)), "positive favours": self.design.sides}
        return {**self.known_facts, **known, "fingerprint": fingerprint(values)}

    @property
    def caveats(self) -> list[str]:
        """What such numbers cannot say."""
        return [*CAVEATS, *self.more_caveats]

    def outcomes(self, subject: Subject, items: Sequence[int]) -> Iterator[Outcome]:
        """Read the texts of all pairs of `subject.rows` items at a time."""
        for start in range(0, len(items), subject.rows):
            numbers = items[start : start + subject.rows]
            pairs = [pair for number in numbers for pair in self.items[number].pairs]
            found = iter(differences(subject, pairs, self.design.scored))
            for number in numbers:
                nats = np.array([next(found) for _ in self.items[number].pairs])
                yield self._outcome(number, nats)

    def _outcome(self, number: int, nats: np.ndarray) -> Outcome:
        item, design, n = self.items[number], self.design, float(len(nats))
        sums = {
            "difference": [float(nats.sum()), n],
            "absolute": [float(np.abs(nats).sum()), n],
            "preferred": [float((nats > 0).sum() + (nats == 0).sum() / 2), n],
        }
        statistics: dict[str, Sequence[float]] = {}
        for quantity in self.quantities:
            kind, _, group = quantity.name.partition("/")
            if kind in sums and group in design.groups:
                statistics[quantity.name] = sums[kind] if group in item.groups else [0.0, 0.0]
        for one in design.contrasts:
            of_both = self._sides(item, one, nats) if one.group in item.groups else [np.zeros(0)] * 2
            statistics[one.name] = [value for some in of_both for value in (float(some.sum()), float(len(some)))]
        if design.known_as:
            x, y = item.known, float(nats.mean())
            statistics["correlation"] = [0.0] * 6 if x is None else [1.0, x, y, x * x, y * y, x * y]
        record = {**item.about, "groups": list(item.groups), "difference": [round(float(one), 6) for one in nats]}
        record |= {"first": [pair.first for pair in item.pairs], "second": [pair.second for pair in item.pairs]}
        return Outcome(number, statistics, record)

    @staticmethod
    def _sides(item: PairItem, one: Contrast, nats: np.ndarray) -> list[np.ndarray]:
        """Return the differences of an item's pairs on side 1 of a contrast, and on side 2."""
        sides = np.array(item.sides[one.by])
        return [nats[sides == 1], nats[sides == 2]]

    def tables(self, measured: Measured) -> list[Table]:
        """Return a table for each kind of number, every one beside its noise floor, and whether the floor is level."""
        found = estimates(measured, seed=self.seed)
        tables = [
            Table(title=title, columns=list(COLUMNS), rows=[one.row() for one in effects])
            for title, effects in self._effects(measured)
        ]
        rows = []
        for null in dict.fromkeys(null for null in self.design.nulls.values() if null):
            one = found[f"difference/{null}"]
            level = LEVEL[centred(one)]
            rows.append([self.design.groups[null], f"{one.samples:,}", level])
        if rows:
            columns = ["neutral pairs", "items", "centred on 0 within their interval"]
            tables.append(Table(title="Is the noise floor level?", columns=columns, rows=rows))
        return tables

    def draw(self, measured: Measured, figure: Any) -> bool:
        """Draw forest plots of all kinds of numbers, one below the other."""
        return forests(figure, [(*one, "share" if one[1][0].neutral else "nats") for one in self._effects(measured)])

    def _effects(self, measured: Measured) -> list[tuple[str, list[Effect]]]:
        """Return the numbers of each kind with their floors: contrasts, differences, sizes, shares."""
        design, found = self.design, estimates(measured, seed=self.seed)
        kinds = [
            (title, self._contrasts(measured, found, title))
            for title in dict.fromkeys(c.title for c in design.contrasts)
        ]
        if design.preferred:
            kinds.append((f"share of pairs that favour {design.sides}", self._groups(measured, found, "preferred")))
        kinds.append((f"mean difference (above 0: {design.sides})", self._groups(measured, found, "difference")))
        kinds.append(("mean absolute difference", self._groups(measured, found, "absolute")))
        if design.known_as:
            one = Effect(label=design.known_as, estimate=found["correlation"])
            kinds.append((f"correlation with {design.known_as}", [one]))
        return kinds

    def _contrasts(self, measured: Measured, found: Mapping[str, Estimate], title: str) -> list[Effect]:
        nulls = {one.name: one for one in self.design.contrasts if not one.null}
        return [
            Effect(
                label=self.design.groups[one.group],
                estimate=found[one.name],
                floor=max(reach(found[one.null]), self._word_reach(measured, one.group, nulls[one.null]))
                if one.null
                else 0.0,
                is_null=one.name in nulls,
            )
            for one in self.design.contrasts
            if one.title == title
        ]

    def _groups(self, measured: Measured, found: Mapping[str, Estimate], kind: str) -> list[Effect]:
        effects, neutral = [], 0.5 if kind == "preferred" else 0.0
        for group, label in self.design.groups.items():
            null = self.design.nulls.get(group, "")
            effects.append(
                Effect(
                    label=label,
                    estimate=found[f"{kind}/{group}"],
                    neutral=neutral,
                    floor=self._floor(measured, found, kind, group),
                    is_null=group not in self.design.nulls,
                    is_size=kind == "absolute",
                    judged=kind != "absolute" or bool(null),
                )
            )
        return effects

    def _floor(self, measured: Measured, found: Mapping[str, Estimate], kind: str, group: str) -> float:
        null = self.design.nulls.get(group, "")
        if not null:
            return 0.0
        one = found[f"{kind}/{null}"]
        if kind == "absolute":
            return one.high or one.value or 0.0
        if kind == "preferred":
            return reach(one, 0.5)
        return max(reach(one), self._word_reach(measured, group, None))

    def _word_reach(self, measured: Measured, group: str, contrast: Contrast | None) -> float:
        """Return how far the number of a group would reach if its words were neutral ones (see `word_reach`)."""
        null, words = self.design.nulls[group], self.design.words.get(group, 0)
        if not words:
            return 0.0
        values, noise = [], []
        for outcome in measured.outcomes:
            item = self.items[outcome.item]
            if null not in item.groups:
                continue
            nats = np.array(outcome.record["difference"])
            parts = [nats] if contrast is None else self._sides(item, contrast, nats)
            if all(len(part) > 1 for part in parts):
                values.append(parts[0].mean() - (parts[1].mean() if len(parts) > 1 else 0.0))
                noise.append(sum(part.var(ddof=1) / len(part) for part in parts))
        return word_reach(values, noise, words)
