"""A linear classifier of texts, good or bad: hashed n-grams of letters and words, and logistic regression.

As fastText's filters of web text (Joulin et al. 2017, arXiv:1607.01759; GPT-3's, Brown et al. 2020, appendix A), with
the hashing trick (Weinberger et al. 2009, arXiv:0902.2206): no vocabulary is kept, a file is the weights and some plain
values. The problem is convex and starts at zero: the same texts give the same filter.
"""

import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from prospero.data.overlap import run_hashes
from prospero.errors import ConfigError, DataError

FORMAT = 1
"""Raised when the same file would give other scores."""
_KIND = "prospero text filter"
_WORDS = re.compile(r"\w+")
_OF_WORDS = np.uint64(0x9E3779B97F4A7C15)
"""Told apart by it: runs of words from runs of letters."""


@dataclass(kw_only=True, slots=True)
class FeaturesConfig:
    """Which n-grams a filter reads."""

    letters: list[int] = field(default_factory=lambda: [3, 4, 5])
    """Lengths of runs of letters, signs and blanks, in characters; without case."""
    words: list[int] = field(default_factory=lambda: [1, 2])
    """Lengths of runs of words; without case and signs."""
    bits: int = 18
    """There are 2^bits weights; n-grams of the same hash share one."""
    max_characters: int = 5000
    """The first characters of a text that are read."""

    def __post_init__(self) -> None:
        if not self.letters and not self.words:
            raise ConfigError("letters=[] and words=[] leave nothing to read; give the lengths of one of them")
        if any(n < 1 for n in (*self.letters, *self.words)):
            raise ConfigError(f"letters={self.letters}, words={self.words}: a run has 1 or more")
        if not 1 <= self.bits <= 26:
            raise ConfigError(f"bits={self.bits}: choose 1 to 26 (2^26 weights are 268 MB)")
        if self.max_characters < 1:
            raise ConfigError(f"max_characters={self.max_characters} must be 1 or more")


def features(text: str, config: FeaturesConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return a text as (places, ascending [F]; values, float32 [F], of length 1): log(1 + count) of its n-grams."""
    low = text[: config.max_characters].casefold()
    letters = np.frombuffer(low.encode("utf-32-le", "surrogatepass"), np.uint32)
    found = [run_hashes(letters, n) for n in config.letters]
    if config.words:
        words = np.array([zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in _WORDS.findall(low)], np.uint64)
        found += [run_hashes(words, n) * _OF_WORDS for n in config.words]
    places, counts = np.unique(np.concatenate(found) >> np.uint64(64 - config.bits), return_counts=True)
    values = np.log1p(counts)
    norm = float(np.sqrt(values @ values))
    return places.astype(np.int64), (values / norm if norm else values).astype(np.float32)


@dataclass(frozen=True, slots=True)
class TextFilter:
    """Weights, and what was found of them on texts that they were not made from."""

    config: FeaturesConfig
    weight: np.ndarray
    """float32 [2^bits]."""
    bias: float
    facts: dict[str, Any] = field(default_factory=dict)
    """Plain values: what it was trained on, held-out precision and recall."""

    def probability(self, text: str) -> float:
        """Return how likely it is that a text is good, where good and bad are equally frequent."""
        places, values = features(text, self.config)
        score = float(values.astype(np.float64) @ self.weight[places]) + self.bias
        return float(1 / (1 + np.exp(-np.clip(score, -500, 500))))

    def save(self, path: Path) -> None:
        """Write it as safetensors, with everything but the weights as JSON in the head."""
        from safetensors.numpy import save_file

        head = {"kind": _KIND, "format": FORMAT, "features": asdict(self.config), "facts": self.facts}
        tensors = {"weight": self.weight, "bias": np.array([self.bias], np.float64)}
        save_file(tensors, path, metadata={"filter": json.dumps(head)})


def load_filter(path: Path) -> TextFilter:
    """Read what `save` wrote; DataError where it is not there, damaged, or something else."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise DataError(f"there is no filter {path}; make one with prospero train_filter")
    try:
        with safe_open(path, framework="numpy") as file:
            head = json.loads((file.metadata() or {}).get("filter", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(f"{path} is damaged ({str(error).splitlines()[0]}); train the filter again") from error
    if not isinstance(head, dict) or head.get("kind") != _KIND:
        raise DataError(f"{path} is no filter of texts; prospero train_filter makes one")
    if head.get("format") != FORMAT:
        raise DataError(f"{path} is a filter of format {head.get('format')}, not {FORMAT}; train it again")
    try:
        config = FeaturesConfig(**head["features"])
        weight, (bias,), facts = tensors["weight"], tensors["bias"].tolist(), dict(head["facts"])
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        raise DataError(f"{path} is damaged (something is missing in it); train the filter again") from error
    if weight.shape != (2**config.bits,) or weight.dtype != np.float32:
        raise DataError(f"{path} has {weight.shape} weights, not 2^{config.bits}; train the filter again")
    return TextFilter(config, weight, float(bias), facts)


def train_filter(good: Sequence[str], bad: Sequence[str], config: FeaturesConfig, *, l2: float) -> TextFilter:
    """Return the filter of least loss: the mean of both classes' cross-entropies + l2 / 2 |weight|^2.

    Both classes count alike, however many texts they have; the bias is not penalised (L-BFGS, Liu and Nocedal 1989).
    """
    x = _matrix([*good, *bad], config)
    columns = np.unique(x.indices)  # the others' weights stay 0
    x = x[:, columns]
    sign = np.concatenate([np.ones(len(good)), -np.ones(len(bad))])
    share = np.where(sign > 0, 0.5 / len(good), 0.5 / len(bad))

    def loss_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weight, bias = flat[:-1], flat[-1]
        margin = sign * (x @ weight + bias)
        loss = float(share @ np.logaddexp(0, -margin)) + l2 / 2 * float(weight @ weight)
        off = -share * sign / (1 + np.exp(np.clip(margin, -500, 500)))
        return loss, np.append(x.T @ off + l2 * weight, off.sum())

    options = {"maxiter": 200, "ftol": 1e-10, "gtol": 1e-6}
    found = minimize(loss_and_gradient, np.zeros(len(columns) + 1), jac=True, method="L-BFGS-B", options=options)
    weight = np.zeros(2**config.bits, np.float32)
    weight[columns] = found.x[:-1]
    return TextFilter(config, weight, float(found.x[-1]))


def _matrix(texts: Sequence[str], config: FeaturesConfig) -> csr_matrix:
    rows = [features(text, config) for text in texts]
    ends = np.cumsum([0, *(len(places) for places, _ in rows)])
    places, values = (np.concatenate(parts) for parts in zip(*rows))
    return csr_matrix((values.astype(np.float64), places, ends), shape=(len(rows), 2**config.bits))


@dataclass(frozen=True, slots=True)
class HeldOut:
    """How a filter judged texts that it was not trained on."""

    of_good: np.ndarray
    """Their probabilities."""
    of_bad: np.ndarray

    def judged_good(self, threshold: float) -> np.ndarray:
        """Return for each text that was judged good whether it is."""
        kept_good, kept_bad = (int((found >= threshold).sum()) for found in (self.of_good, self.of_bad))
        return np.repeat([True, False], [kept_good, kept_bad])

    def found(self, threshold: float) -> np.ndarray:
        """Return for each good text whether it was judged so."""
        return self.of_good >= threshold


def held_out(made: TextFilter, good: Sequence[str], bad: Sequence[str]) -> HeldOut:
    """Judge texts."""
    return HeldOut(*(np.array([made.probability(text) for text in texts]) for texts in (good, bad)))
