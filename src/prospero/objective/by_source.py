"""The loss of a training step by the source of its text, where a batch says it: `facts["source_ids"]` int [B, T].

Two numbers are observed of each source, as sums over its targets: the losses, divided by all targets of the global
batch as everything is, and the share of the targets that are its own. Their ratio is the mean loss of the source, right
for any micro-batches and ranks.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from prospero.errors import ConfigError
from prospero.objective.losses.base import Loss
from prospero.objective.terms import TokenScores, TokenTerm

SOURCE_IDS = "source_ids"
LOSS, SHARE = "loss", "share"
"""What the two are called: loss/<source> and share/<source>."""


def observed_by_source(names: Sequence[str], losses: Mapping[str, Loss], taken: Iterable[str]) -> dict[str, TokenTerm]:
    """Return what is observed of sources, numbered as in `names`; ConfigError where a loss is already called so.

    `taken` are the names of the losses and regularisers of the run.
    """
    for name in taken:
        if name in names:
            raise ConfigError(
                f"'{name}' is a loss or a regulariser of this run and a part of its data; rename the part"
            )
    found: dict[str, TokenTerm] = {}
    for number, name in enumerate(names):
        found |= {f"{LOSS}/{name}": _LossOfSource(losses, number), f"{SHARE}/{name}": _ShareOfSource(number)}
    return found


def means_by_source(observed: Mapping[str, float]) -> dict[str, float]:
    """Return observed numbers with the losses of sources as means; a source without a target has no loss."""
    found = dict(observed)
    for name, share in observed.items():
        kind, _, source = name.partition("/")
        of_loss = f"{LOSS}/{source}"
        if kind == SHARE and of_loss in observed:
            total = found.pop(of_loss)
            found |= {of_loss: total / share} if share > 0 else {}
    return found


class _LossOfSource(TokenTerm):
    """The sum of weight x loss on the targets of one source."""

    def __init__(self, losses: Mapping[str, Loss], number: int) -> None:
        self.losses, self.number = list(losses.values()), number
        self.reads = frozenset[str]().union(*(loss.reads for loss in self.losses))
        self.facts = frozenset({SOURCE_IDS}).union(*(loss.facts for loss in self.losses))

    def per_token(self, scores: TokenScores) -> Tensor:
        parts = [loss.weight * loss.per_token(scores).detach() for loss in self.losses]
        total = torch.stack(parts).sum(0)
        return torch.where(scores.facts[SOURCE_IDS] == self.number, total, 0.0)


class _ShareOfSource(TokenTerm):
    """1 on the targets of one source."""

    facts = frozenset({SOURCE_IDS})

    def __init__(self, number: int) -> None:
        self.number = number

    def per_token(self, scores: TokenScores) -> Tensor:
        return (scores.facts[SOURCE_IDS] == self.number).float()
