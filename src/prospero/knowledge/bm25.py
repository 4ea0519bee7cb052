"""BM25 (Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework") over sentences or paragraphs, by bm25s.

    score(q, d) = sum over w in q of  log(1 + (N - n_w + 0.5) / (n_w + 0.5)) * f / (f + k1 (1 - b + b |d| / mean))

f is how often w stands in d, n_w in how many of the N texts; the 1 in the logarithm, which keeps it above zero, is
Lucene's.
"""

import importlib.util
import re
from collections.abc import Sequence

import numpy as np

from prospero.errors import ConfigError

_WORDS = re.compile(r"\w+")


def words_of(text: str) -> list[str]:
    """Return the words of a text, in small letters."""
    return _WORDS.findall(text.casefold())


class BM25:
    """An index over texts."""

    def __init__(self, texts: Sequence[str], k1: float, b: float) -> None:
        if importlib.util.find_spec("bm25s") is None:
            raise ConfigError('retrieval=bm25 needs the package "bm25s": pip install "prospero[retrieval]"')
        import bm25s

        self.texts = list(texts)
        self._index = bm25s.BM25(k1=k1, b=b, method="lucene")
        self._index.index([words_of(text) for text in texts], show_progress=False)

    def scores(self, query: str) -> np.ndarray:
        """Return the score of each text, float32 [N]."""
        words = [word for word in words_of(query) if word in self._index.vocab_dict]
        return self._index.get_scores(words) if words else np.zeros(len(self.texts), np.float32)

    def best(self, query: str, k: int) -> list[str]:
        """Return at most `k` texts that share a word with the query, best first; of equal ones the earlier."""
        scores = self.scores(query)
        order = np.argsort(-scores, kind="stable")[:k]
        return [self.texts[place] for place in order if scores[place] > 0]
