"""Contamination: does what a task asks stand in the text that the model was trained on?

As GPT-3's authors did (Brown et al. 2020, appendix C), by runs of n neighbours; in tokens of the training data, as
Llama 2's (Touvron et al. 2023, appendix A.6), for which no text must be made of them: an item stands in the training
text where a share of its tokens lies in such runs. Items shorter than n tokens are not judged.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prospero.data.overlap import Overlap, blocks, overlaps
from prospero.data.prepare import PreparedData, open_prepared
from prospero.errors import DataError
from prospero.evaluation.measurement import Measured
from prospero.log import log

RUN = 13
"""Tokens of a run at least; n of GPT-3's authors, who counted words."""
RUN_BYTES = 50
"""UTF-8 bytes that a run should have: of a tokenizer with short tokens, more of them. 13 of GPT-2's have as many."""
SHARE = 0.8
"""Of an item's tokens from which it counts as standing in the text; Llama 2's authors call such items dirty."""
MOST_TOKENS = 2**26
"""Of the training text that are read, in blocks spread over it: some seconds."""
NAMED = 20
"""Items that are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contamination:
    """What of a task's items stands in one training text."""

    n: int
    """Tokens of a run."""
    judged: int
    """Items of at least n tokens."""
    touched: list[int]
    """Items with any run in common with the text: their numbers."""
    contained: list[int]
    """Items of whose tokens at least SHARE lie in such runs."""

    def line(self, task: str) -> str | None:
        """Return what a reader must know; None where no item stands in the text."""
        if not self.contained:
            return None
        return (
            f"{task}: {len(self.contained):,} of {self.judged:,} items stand in the training text ({SHARE:.0%} of "
            f"their tokens or more, in runs of {self.n}), so their numbers may be memory; the results name them"
        )


def item_texts(found: Measured) -> dict[int, str]:
    """Return what each item says, where it says something."""
    texts = {one.item: found.measurement.item_text(one.record) for one in found.outcomes}
    return {item: text for item, text in texts.items() if text}


def open_training_text(folder: Path) -> PreparedData | None:
    """Return the prepared data in `folder`; None, said, where they cannot be read."""
    try:
        return open_prepared(folder)
    except DataError as error:
        log.warning("Whether the items stand in the training text was not looked at: %s", error)
        return None


def contamination(texts: Mapping[int, str], data: PreparedData) -> Contamination:
    """Look for the items' `texts`, by their numbers, in the training text."""
    n = run_tokens(data)
    ids = [np.asarray(data.tokenizer.encode(text), np.int64) for text in texts.values()]
    found = dict(zip(texts, overlaps(ids, blocks(data.splits["train"], n, MOST_TOKENS), n)))
    return _judged(found, n)


def run_tokens(data: PreparedData) -> int:
    """Return how many tokens a run has."""
    return max(RUN, math.ceil(RUN_BYTES / data.receipt["splits"]["train"]["bytes_per_token"]))


def _judged(found: Mapping[int, Overlap], n: int) -> Contamination:
    long = {item: overlap for item, overlap in found.items() if overlap.length >= n}
    return Contamination(
        n=n,
        judged=len(long),
        touched=[item for item, overlap in long.items() if overlap.covered],
        contained=[item for item, overlap in long.items() if overlap.share >= SHARE],
    )


def as_facts(found: Contamination, data: PreparedData) -> dict[str, Any]:
    """Return what results.json says of it."""
    n = data.splits["train"].n_tokens
    return {
        "data": data.fingerprint,
        "run_tokens": found.n,
        "share": SHARE,
        "judged": found.judged,
        "touched": len(found.touched),
        "contained": len(found.contained),
        "first_contained": found.contained[:NAMED],
        "searched_tokens": min(n, MOST_TOKENS),
        "of_tokens": n,
    }


def line_of(task: str, facts: Mapping[str, Any]) -> str | None:
    """Return the line of facts that were kept by an earlier call."""
    contained = [0] * facts["contained"]  # which ones, the line does not say
    return Contamination(n=facts["run_tokens"], judged=facts["judged"], touched=[], contained=contained).line(task)
