"""One pair a sequence: the chosen answer behind its prompt, then the rejected one behind the same, then padding.

Document ids tell the two apart: 0 and 1, and 2 for the padding. The model must read them, so that neither answer sees
the other: equal numbers as if each stood alone.
"""

from dataclasses import dataclass
from enum import Enum

import numpy as np

from prospero.data.packing.best_fit import PiecePacking
from prospero.data.shards import TokenShards
from prospero.errors import ConfigError, DataError
from prospero.log import log


class TooLong(Enum):
    """What becomes of a pair that does not fit a sequence."""

    cut_prompt = "cut_prompt"
    drop = "drop"


@dataclass(kw_only=True, slots=True)
class PairPackingConfig:
    """Each pair of rendering=preferences in a sequence of its own."""

    too_long: TooLong = TooLong.cut_prompt
    """What becomes of a pair longer than seq_len: cut_prompt leaves out the beginning of its prompt, in both halves
    alike, and drops it only where the answers alone do not fit; drop leaves it out. Either is counted and said."""

    def build(self, shards: TokenShards, seq_len: int) -> PiecePacking:
        """Return the sequences of `shards`, a pair each; raises ConfigError or DataError where there are none."""
        if shards.documents_per_example != 2 or shards.targets is None:
            raise ConfigError("packing=pairs lays out pairs, and the data hold none; choose rendering=preferences")
        starts, lengths = _halves(shards)
        whole = lengths.sum(1) <= seq_len
        fits = whole.copy()
        if self.too_long is TooLong.cut_prompt:
            starts, lengths, fits = _without_beginnings(starts, lengths, _answers(shards, starts), seq_len)
        n_pairs, split = len(fits), shards.path.stem
        if not fits.any():
            raise DataError(
                f"none of the {n_pairs} pairs of the {split} split fits seq_len={seq_len}, chosen and rejected "
                "together; give a longer seq_len"
            )
        _say(split, seq_len, n_pairs, cut=int((fits & ~whole).sum()), dropped=int((~fits).sum()))
        bins = np.repeat(np.arange(int(fits.sum())), 2)
        return PiecePacking(shards, seq_len, starts[fits].ravel(), lengths[fits].ravel(), bins, len(bins) // 2)


def _halves(shards: TokenShards) -> tuple[np.ndarray, np.ndarray]:
    """Return the first token and the number of tokens of each half of each pair, int64 [pairs, 2]."""
    stops = shards.document_ends.astype(np.int64)
    starts = np.concatenate([[1], stops[:-1]])
    return starts.reshape(-1, 2), (stops - starts).reshape(-1, 2)


def _answers(shards: TokenShards, starts: np.ndarray) -> np.ndarray:
    """Return how many tokens of each half are targets, int64 [pairs, 2]; they stand at its end."""
    assert shards.targets is not None, "pairs have targets"
    sums = np.add.reduceat(shards.targets, starts.ravel(), dtype=np.int64)
    return sums.reshape(-1, 2)


def _without_beginnings(
    starts: np.ndarray, lengths: np.ndarray, answers: np.ndarray, seq_len: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return starts and lengths with just as many tokens of the prompts left out as must be, and which pairs fit now.

    Both halves lose as many, as they begin alike; the token before what is left is what it is predicted from.
    """
    prompts = (lengths - answers).min(1)
    missing = -(-np.maximum(0, lengths.sum(1) - seq_len) // 2)  # of each half
    fits = missing <= prompts
    cut = np.where(fits, missing, 0)[:, None]
    return starts + cut, lengths - cut, fits


def _say(split: str, seq_len: int, n_pairs: int, *, cut: int, dropped: int) -> None:
    if cut:
        log.info(
            "%s: the prompts of %d of %d pairs are cut at their beginning to fit seq_len=%d",
            split,
            cut,
            n_pairs,
            seq_len,
        )
    if dropped:
        log.warning("%s: %d of %d pairs do not fit seq_len=%d and are left out", split, dropped, n_pairs, seq_len)
