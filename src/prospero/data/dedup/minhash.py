"""Near-duplicates by MinHash (Broder 1997) and locality-sensitive hashing (Indyk and Motwani 1998).

The similarity of two texts is the share of their shingles that both have (Jaccard). The least of a hash over all
shingles is the same for two texts with just that probability, so the share of equal minima estimates it. Texts that
agree in all rows of one band are looked at: of similarity s those are 1 - (1 - s^rows)^bands, with 14 bands of 8 rows
(as FineWeb has them, Penedo et al. 2024) 0.56 of those at 0.7, 0.92 at 0.8 and 0.9996 at 0.9.
"""

from collections import Counter
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from prospero.data.dedup.on_disk import scratch
from prospero.data.dedup.shingles import Characters, Words
from prospero.errors import ConfigError

BLOCK = 512
"""Shingles hashed at a time: their hashes, one row for each function, stay in the processor's cache."""
EXAMPLES = 10
MOST_COMPARED = 500
"""Kept documents that one is compared with: a band that thousands of nearly similar ones share would take for ever."""
SHOWN = 300
"""Characters of a text that the receipt shows."""
SEED = 20_240_625


class Unit(Enum):
    """What shingles are made of."""

    words = "words"
    characters = "characters"


@dataclass(kw_only=True, slots=True)
class MinHashDedupConfig:
    """Keep the first of documents that are nearly equal; what it remembers lies on disk, about 1 kB for each kept."""

    threshold: float = 0.75
    """Estimated share of common shingles from which a document counts as a copy of an earlier, kept one."""
    unit: Unit = Unit.words
    """What shingles are made of: words (letters where a script has no spaces), or characters."""
    ngram: int = 5
    """Words or characters of a shingle."""
    bands: int = 14
    """Bands; documents that agree in all rows of one are compared."""
    rows: int = 8
    """Minima in a band; fewer find pairs of less similarity, and compare more."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ConfigError(f"dedup.threshold={self.threshold} must be above 0 and at most 1")
        for name in ("ngram", "bands", "rows"):
            if getattr(self, name) < 1:
                raise ConfigError(f"dedup.{name}={getattr(self, name)} must be 1 or more")
        if self.bands * self.rows > 4096:
            raise ConfigError(
                f"dedup.bands={self.bands} x dedup.rows={self.rows} is over 4096 minima a document; take fewer"
            )
        found = 1 - (1 - self.threshold**self.rows) ** self.bands
        if found < 0.5:
            raise ConfigError(
                f"dedup.threshold={self.threshold} with {self.bands} bands of {self.rows} rows would find {found:.0%} "
                "of the pairs at that similarity; take fewer rows, more bands or a higher threshold"
            )

    @property
    def changes_text(self) -> bool:
        """No: a document is kept or dropped."""
        return False

    def build(self, folder: Path) -> "MinHashDedup":
        """Return the part, which has seen nothing yet and keeps a file in `folder`."""
        return MinHashDedup(self, folder)


class MinHashSketch:
    """The least values of `n` hash functions over a text's shingles."""

    def __init__(self, n: int, unit: Unit, ngram: int) -> None:
        self.shingles = {Unit.words: Words, Unit.characters: Characters}[unit](ngram)
        factors = np.random.SeedSequence(SEED).generate_state(2 * n, np.uint64)
        self._a, self._b = factors[:n] | np.uint64(1), factors[n:]

    def __call__(self, text: str) -> bytes:
        """Return the signature, little-endian uint32 [n]; nothing for a text without shingles."""
        shingles = self.shingles(text)
        if not len(shingles):
            return b""
        least = np.full(len(self._a), np.iinfo(np.uint64).max)
        for start in range(0, len(shingles), BLOCK):
            hashes = shingles[start : start + BLOCK, None] * self._a + self._b  # wraps on purpose
            np.minimum(least, hashes.min(0), out=least)
        return (least >> np.uint64(32)).astype("<u4").tobytes()


class MinHashDedup:
    """Signatures of the kept documents, found by their bands. A copy of a copy that is kept nowhere is none."""

    def __init__(self, config: MinHashDedupConfig, folder: Path) -> None:
        self.config = config
        self.sketch = MinHashSketch(config.bands * config.rows, config.unit, config.ngram)
        self._path = folder / "dedup.sqlite"
        self._file = scratch(
            self._path,
            "bands (key INTEGER, document INTEGER, PRIMARY KEY (key, document)) WITHOUT ROWID",
            "kept (document INTEGER PRIMARY KEY, signature BLOB, id TEXT, beginning TEXT)",
        )
        self._keys = np.random.SeedSequence(SEED + 1).generate_state(config.bands, np.uint64)
        self._n_kept = 0
        self._copies: Counter[int] = Counter()  # kept document -> its copies; of documents that have some
        self._examples: list[dict[str, Any]] = []

    def keep(self, text: str, sketch: bytes, document_id: str) -> str | None:
        """Return the text, or None when it is nearly equal to one that was kept."""
        if not sketch:
            return text
        signature = np.frombuffer(sketch, "<u4")
        keys = self._band_keys(signature)
        found, similarity = self._most_similar(signature, keys)
        if found is not None and similarity >= self.config.threshold:
            self._copies[found] += 1
            if len(self._examples) < EXAMPLES and similarity < 1:
                self._examples.append(self._example(found, similarity, document_id, text))
            return None
        number, self._n_kept = self._n_kept, self._n_kept + 1
        row = (number, sketch, document_id, text[:SHOWN])
        self._file.execute("INSERT INTO kept VALUES (?, ?, ?, ?)", row)
        self._file.executemany("INSERT OR IGNORE INTO bands VALUES (?, ?)", [(key, number) for key in keys])
        return text

    def report(self) -> dict[str, Any]:
        """Return what was found: the clusters by their size, the largest, and examples side by side.

        A cluster is a kept document with its copies. Examples are of pairs that differ.
        """
        largest = [
            {"kept": self._kept(number)[0], "documents": copies + 1}
            for number, copies in sorted(self._copies.items(), key=lambda item: (-item[1], item[0]))[:EXAMPLES]
        ]
        sizes = Counter(copies + 1 for copies in self._copies.values())
        return {
            "method": "minhash",
            "threshold": self.config.threshold,
            "kept": self._n_kept,
            "clusters": len(self._copies),
            "documents_in_clusters": sum(self._copies.values()) + len(self._copies),
            "cluster_sizes": {str(size): sizes[size] for size in sorted(sizes)},
            "largest": largest,
            "examples": self._examples,
        }

    def close(self) -> None:
        """Remove the file."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def _band_keys(self, signature: np.ndarray) -> list[int]:
        """Return a key of 63 bits for each band, from its number and its minima."""
        bands = signature.astype(np.uint64).reshape(self.config.bands, self.config.rows)
        keys = self._keys.copy()
        for row in range(self.config.rows):
            keys = (keys ^ bands[:, row]) * np.uint64(0x100000001B3)
            keys ^= keys >> np.uint64(29)
        return (keys >> np.uint64(1)).tolist()

    def _most_similar(self, signature: np.ndarray, keys: list[int]) -> tuple[int | None, float]:
        """Return the kept document with the most equal minima, the earliest of several, and their share."""
        marks = ",".join("?" * len(keys))
        rows = self._file.execute(
            "SELECT document, signature FROM kept "
            f"WHERE document IN (SELECT document FROM bands WHERE key IN ({marks})) ORDER BY document LIMIT ?",
            [*keys, MOST_COMPARED],
        )
        best, most = None, -1.0
        for number, content in rows:
            equal = float((np.frombuffer(content, "<u4") == signature).mean())
            if equal > most:
                best, most = number, equal
        return best, most

    def _kept(self, number: int) -> tuple[str, str]:
        return self._file.execute("SELECT id, beginning FROM kept WHERE document = ?", (number,)).fetchone()

    def _example(self, found: int, similarity: float, document_id: str, text: str) -> dict[str, Any]:
        kept_id, beginning = self._kept(found)
        return {
            "kept": kept_id,
            "copy": document_id,
            "similarity": round(similarity, 3),
            "kept_text": beginning,
            "copy_text": text[:SHOWN],
        }
