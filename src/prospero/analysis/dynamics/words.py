"""Which tokens and words are learned when: their mean loss at every checkpoint, on text that stays the same.

Age of acquisition as in Chang and Bergen 2022, "Word acquisition in neural language models" (arXiv:2110.02406): the
step at which the loss has come half of its way from chance to its lowest. They fit a sigmoid; here the measured points
are joined by lines over the logarithm of the step.

Shapes: C checkpoints, N tokens of the text, M occurrences (of tokens or words) in it, U kinds of them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from prospero.data.tokenizer.tokenizer import Tokenizer

CHANCE_SHARE = 0.5
"""Of the way from chance to the lowest loss: where a word counts as learned."""
LEAST_GAIN = 0.1
"""Share of the chance loss that the lowest must lie below it, or the word is not learned at all."""
FORGOTTEN_NATS, FORGOTTEN_Z = 0.1, 3.0
"""A word is forgotten when its loss has risen by more nats per token, and by more standard errors, since its lowest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrences:
    """Where each token, or each word, stands in the text."""

    names: list[str]
    """What the U kinds are called."""
    kinds: np.ndarray
    """int64 [M]: the kind of each occurrence."""
    lengths: np.ndarray
    """int64 [M]: of how many tokens it is made."""
    of_token: np.ndarray
    """int64 [N]: the occurrence that each token is part of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """One word (or token) over the checkpoints."""

    name: str
    count: int
    """How often it stands in the text."""
    losses: tuple[float, ...]
    """Mean nats per token of it at each checkpoint, [C]."""
    learned_at: float | None
    """Optimiser step at which it counts as learned; that of the first checkpoint where it is by then, None if never."""
    learned_by_first: bool
    """Whether it is learned at the first checkpoint already; when before it, nobody knows."""
    rise: float
    """Nats per token from its lowest to the last checkpoint."""
    rise_z: float
    """The same in standard errors of the paired difference over its occurrences; NaN for a single occurrence."""

    @property
    def forgotten(self) -> bool:
        """Whether it was learned, and its loss has risen since its lowest by more than chance would have it."""
        return self.learned_at is not None and self.rise > FORGOTTEN_NATS and self.rise_z > FORGOTTEN_Z


def tokens_of(labels: np.ndarray, tokenizer: Tokenizer) -> Occurrences:
    """Return every token of `labels` [N] as an occurrence of its own."""
    ids, kinds = np.unique(labels, return_inverse=True)
    names = [tokenizer.decode([int(id_)]) for id_ in ids]
    n = len(labels)
    return Occurrences(names=names, kinds=kinds, lengths=np.ones(n, np.int64), of_token=np.arange(n))


def words_of(labels: np.ndarray, follows: np.ndarray, tokenizer: Tokenizer) -> Occurrences:
    """Return the words of `labels` [N]: tokens joined while letters, digits or underscores meet.

    `follows` bool [N]: whether a token stands directly after the one before it in the text.
    """
    ids, places = np.unique(labels, return_inverse=True)
    texts = [tokenizer.decode([int(id_)]) for id_ in ids]
    begins_inside = np.array([_of_word(text[:1]) for text in texts])
    ends_inside = np.array([_of_word(text[-1:]) for text in texts])
    joined = np.zeros(len(labels), np.bool_)
    joined[1:] = follows[1:] & begins_inside[places[1:]] & ends_inside[places[:-1]]
    of_token = np.cumsum(~joined) - 1
    starts = np.flatnonzero(~joined)
    lengths = np.diff(np.append(starts, len(labels)))
    kinds_by_name: dict[str, int] = {}
    kinds = np.empty(len(starts), np.int64)
    for occurrence, (start, length) in enumerate(zip(starts.tolist(), lengths.tolist())):
        own = labels[start : start + length].tolist()
        text = texts[places[start]] if length == 1 else tokenizer.decode(own)
        kinds[occurrence] = kinds_by_name.setdefault(text.strip() or text, len(kinds_by_name))
    return Occurrences(names=list(kinds_by_name), kinds=kinds, lengths=lengths, of_token=of_token)


def _of_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def trajectories(
    nats: np.ndarray, steps: Sequence[int], found: Occurrences, *, vocab_size: int, min_count: int
) -> list[Trajectory]:
    """Return those of all kinds with at least `min_count` occurrences, of `nats` [C, N] at the `steps` [C]."""
    n_kinds, counts = len(found.names), np.bincount(found.kinds, minlength=len(found.names))
    tokens = np.bincount(found.kinds, weights=found.lengths, minlength=n_kinds)
    sums = [np.bincount(found.of_token, weights=row, minlength=len(found.kinds)) for row in nats]  # C times [M]
    means = np.stack([np.bincount(found.kinds, weights=row, minlength=n_kinds) for row in sums]) / tokens  # [C, U]
    lowest = means.argmin(axis=0)
    order = np.argsort(found.kinds, kind="stable")
    bounds = np.concatenate(([0], np.cumsum(counts)))
    chance, kept = math.log(vocab_size), np.flatnonzero(counts >= min_count)
    results = []
    for kind in kept.tolist():
        own = order[bounds[kind] : bounds[kind + 1]]
        losses = means[:, kind]
        age = learned_at(losses, steps, chance)
        results.append(
            Trajectory(
                name=found.names[kind],
                count=int(counts[kind]),
                losses=tuple(losses.tolist()),
                learned_at=age,
                learned_by_first=age is not None and losses[0] <= _bound(losses, chance),
                rise=float(losses[-1] - losses.min()),
                rise_z=_paired_z(sums[-1][own] - sums[lowest[kind]][own]),
            )
        )
    return results


def learned_at(losses: np.ndarray, steps: Sequence[int], chance: float) -> float | None:
    """Return the step at which `losses` [C] first come half of the way from `chance` to their lowest.

    None where the lowest is hardly better than chance; the first step where it is that good already.
    """
    lowest = float(losses.min())
    if lowest > (1 - LEAST_GAIN) * chance:
        return None
    bound = _bound(losses, chance)
    place = int(np.argmax(losses <= bound))
    if place == 0:
        return float(steps[0])
    before, after = float(losses[place - 1]), float(losses[place])
    share = (before - bound) / (before - after)
    first, second = math.log(max(1, steps[place - 1])), math.log(steps[place])
    return math.exp(first + share * (second - first))


def _bound(losses: np.ndarray, chance: float) -> float:
    return chance - CHANCE_SHARE * (chance - float(losses.min()))


def _paired_z(differences: np.ndarray) -> float:
    """Return mean / standard error of `differences`; NaN for fewer than two, and where all are alike."""
    spread = differences.std(ddof=1) / math.sqrt(len(differences)) if len(differences) > 1 else 0.0
    return float(differences.mean() / spread) if spread > 0 else math.nan


def with_letters(found: Sequence[Trajectory]) -> list[Trajectory]:
    """Return those that have a letter or a digit in them: white space and punctuation are learned as tokens."""
    return [one for one in found if any(character.isalnum() for character in one.name)]


def earliest(found: Sequence[Trajectory], n: int) -> list[Trajectory]:
    """Return the `n` that were learned first; of those learned by the first checkpoint, the best known ones there."""
    learned = [one for one in found if one.learned_at is not None]
    return sorted(learned, key=lambda one: (one.learned_at, one.losses[0]))[:n]


def latest(found: Sequence[Trajectory], n: int) -> list[Trajectory]:
    """Return the `n` that were learned last, the last one first; none of those learned by the first checkpoint."""
    learned = [one for one in found if one.learned_at is not None and not one.learned_by_first]
    return sorted(learned, key=lambda one: (-(one.learned_at or 0.0), -one.losses[0]))[:n]


def best_known(found: Sequence[Trajectory], n: int) -> list[Trajectory]:
    """Return the `n` of the lowest loss at the last checkpoint."""
    return sorted(found, key=lambda one: one.losses[-1])[:n]


def worst_known(found: Sequence[Trajectory], n: int) -> list[Trajectory]:
    """Return the `n` of the highest loss at the last checkpoint."""
    return sorted(found, key=lambda one: -one.losses[-1])[:n]


def never(found: Sequence[Trajectory], n: int) -> list[Trajectory]:
    """Return the `n` most frequent of those that no checkpoint predicts better than chance by a tenth."""
    return sorted((one for one in found if one.learned_at is None), key=lambda one: -one.count)[:n]


def forgotten(found: Sequence[Trajectory], n: int) -> list[Trajectory]:
    """Return the `n` whose loss has risen most since its lowest, of those that are forgotten."""
    return sorted((one for one in found if one.forgotten), key=lambda one: -one.rise)[:n]
