"""The floor to beat: bits per byte of a smoothed token bigram model, counted on train and measured on val.

P(w | v) = (c(v, w) + k P(w)) / (c(v) + k), P(w) = (c(w) + a) / (N + a V): bigram counts over unigram counts over the
uniform distribution (a Dirichlet prior at each level, MacKay and Peto 1995). k and a are chosen on a slice of train.
"""

import numpy as np

from prospero.data.shards import TokenShards

MAX_TRAIN_TOKENS = 4_000_000
MAX_VAL_TOKENS = 2_000_000
BLOCKS = 64
"""Larger splits are read in this many runs of tokens, evenly spread."""
CHUNK = 2**18
PAIR_STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
UNIGRAM_STRENGTHS = (0.01, 0.1, 1.0)


class Bigram:
    """Counts of single tokens and of pairs, as sorted pair codes, so that any vocabulary fits."""

    def __init__(self, runs: list[np.ndarray], vocab_size: int) -> None:
        self.vocab_size = vocab_size
        first = np.concatenate([run[:-1] for run in runs])
        second = np.concatenate([run[1:] for run in runs])
        codes = first.astype(np.int64) * vocab_size + second
        self.codes, self.pair_counts = np.unique(codes, return_counts=True)
        self.context_counts = np.bincount(first, minlength=vocab_size)
        self.counts = np.bincount(second, minlength=vocab_size)

    def counted(self, run: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return c(v, w), c(v) and w for each pair of neighbours in `run`."""
        codes = run[:-1].astype(np.int64) * self.vocab_size + run[1:]
        place = np.minimum(np.searchsorted(self.codes, codes), len(self.codes) - 1)
        pairs = np.where(self.codes[place] == codes, self.pair_counts[place], 0)
        return pairs, self.context_counts[run[:-1]], run[1:]

    def bits(
        self, counted: tuple[np.ndarray, np.ndarray, np.ndarray], k: float, a: float, *, among: np.ndarray | None = None
    ) -> float:
        """Return the sum of -log2 P(w | v) over pairs from `counted`, or over those `among` them."""
        pairs, contexts, words = counted
        unigram = (self.counts + a) / (self.counts.sum() + a * self.vocab_size)
        bits = -np.log2((pairs + k * unigram[words]) / (contexts + k))
        return float(bits.sum() if among is None else bits[among].sum())


def bigram_bits_per_byte(train: TokenShards, val: TokenShards, token_bytes: np.ndarray) -> float:
    """Return bits per UTF-8 byte of `val`; `token_bytes` [vocab_size] are the bytes of each id.

    Where tokens are marked as targets, they alone count, as in a run. Of splits beyond `MAX_TRAIN_TOKENS` and
    `MAX_VAL_TOKENS`, evenly spread runs of that many tokens are used.
    """
    vocab_size = len(token_bytes)
    runs = even_runs(train, MAX_TRAIN_TOKENS)
    k, a = _best_strengths(runs, vocab_size)
    model = Bigram(runs, vocab_size)
    bits = n_bytes = 0.0
    for first, run in even_runs_from(val, MAX_VAL_TOKENS):
        for start in range(0, len(run) - 1, CHUNK):
            part = run[start : start + CHUNK + 1]
            place = first + start + 1
            among = None if val.targets is None else val.targets[place : place + len(part) - 1]
            bits += model.bits(model.counted(part), k, a, among=among)
            n_bytes += float(token_bytes[part[1:]].sum(where=True if among is None else among))
    return bits / max(n_bytes, 1.0)


def even_runs(shards: TokenShards, max_tokens: int) -> list[np.ndarray]:
    """Return the split as one run, or `BLOCKS` evenly spread runs of `max_tokens` in all."""
    return [run for _, run in even_runs_from(shards, max_tokens)]


def even_runs_from(shards: TokenShards, max_tokens: int) -> list[tuple[int, np.ndarray]]:
    """Return those runs, each with where it begins in the split."""
    if shards.n_tokens <= max_tokens:
        return [(0, shards.all_tokens)]
    length = max_tokens // BLOCKS
    starts = np.linspace(0, shards.n_tokens - length, BLOCKS).astype(np.int64).tolist()
    return [(start, shards.tokens(start, start + length)) for start in starts]


def _best_strengths(runs: list[np.ndarray], vocab_size: int) -> tuple[float, float]:
    """Return the k and a that predict the last tenth of the runs best from the rest."""
    tokens = np.concatenate(runs)
    cut = len(tokens) * 9 // 10
    if cut < 2 or len(tokens) - cut < 2:
        return PAIR_STRENGTHS[2], UNIGRAM_STRENGTHS[1]
    model = Bigram([tokens[:cut]], vocab_size)
    counted = model.counted(tokens[cut : cut + CHUNK])
    grid = [(k, a) for k in PAIR_STRENGTHS for a in UNIGRAM_STRENGTHS]
    return min(grid, key=lambda strengths: model.bits(counted, *strengths))
