"""The text that a model was trained on, for analyses that ask what it remembers of it."""

from collections.abc import Sequence

import numpy as np

from prospero.data.prepare import PreparedData, open_prepared
from prospero.data.shards import TokenShards
from prospero.errors import DataError
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.measurement import Subject


def trained_data(name: str, facts: AnalysisFacts) -> PreparedData:
    """Return the prepared data that the model was trained on; DataError where they are not here."""
    if facts.data is None:
        raise DataError(
            f"analyses.{name}: the prepared data that the model was trained on are not here, and it asks what is "
            "remembered of them; prepare them again with the run's settings and outputs_dir (python prepare.py ...)"
        )
    return open_prepared(facts.data)


def check_tokenizer(name: str, subject: Subject, data: PreparedData) -> None:
    """Raise DataError when the model reads other tokens than the data hold."""
    if subject.tokenizer.fingerprint() != data.tokenizer.fingerprint():
        raise DataError(f"analyses.{name}: {subject.name} has another tokenizer than its training data")


def windows(shards: TokenShards, eot_id: int, length: int, n: int, seed: int) -> list[list[int]]:
    """Return up to `n` runs of `length` tokens of a split, drawn by the seed, each within one document, none twice."""
    draws, found = np.random.default_rng(seed), dict[int, list[int]]()
    last = shards.n_tokens - length
    for _ in range(50 * n if last > 0 else 0):
        start = int(draws.integers(1, last + 1))
        ids = shards.tokens(start, start + length)
        if start not in found and not bool((ids == eot_id).any()):
            found[start] = ids.tolist()
            if len(found) == n:
                break
    return list(found.values())


def strings_in(data: PreparedData, strings: Sequence[str], most_tokens: int) -> set[str]:
    """Return those of `strings` that stand in the training text, in its first `most_tokens` tokens."""
    shards, left, found, start = data.splits["train"], set(strings), set[str](), 1
    for stop in shards.document_ends.tolist():
        if not left or start >= most_tokens:
            break
        text = data.tokenizer.decode(shards.tokens(start, min(stop, most_tokens)))
        hits = {string for string in left if string in text}
        found, left, start = found | hits, left - hits, stop
    return found
