"""What a tokenizer makes of a corpus: bytes a token, fertility, tokens unused, what comes back."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import regex

from prospero.analysis.tokenizer.parallel_text import ARTICLE_ONE, HARD
from prospero.data.prepare import PreparedData
from prospero.data.shards import TokenShards
from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.errors import DataError

SCRIPTS = (
    *("Latin", "Cyrillic", "Greek", "Armenian", "Georgian", "Hebrew", "Arabic", "Syriac", "Thaana", "Devanagari"),
    *("Bengali", "Gurmukhi", "Gujarati", "Oriya", "Tamil", "Telugu", "Kannada", "Malayalam", "Sinhala", "Thai", "Lao"),
    *("Tibetan", "Myanmar", "Khmer", "Ethiopic", "Cherokee", "Mongolian", "Han", "Hiragana", "Katakana", "Hangul"),
)
OTHER = "other"
WITHOUT_SPACES = frozenset({"Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan"})
"""Scripts in which a run of letters is no word, so that tokens a word mean nothing."""
_WORD = regex.compile(r"\p{L}[\p{L}\p{M}]*")
_SCRIPT = [(name, regex.compile(rf"\p{{Script={name}}}")) for name in SCRIPTS]
MOST_WORDS = 100_000
"""Different words that are encoded, the most frequent ones."""
TOKENS_AT_ONCE, CHARACTERS_AT_ONCE = 2**22, 2**20


@dataclass(frozen=True, slots=True)
class Cost:
    """What some text costs."""

    documents: int
    n_bytes: int
    characters: int
    tokens: int

    @property
    def bytes_per_token(self) -> float:
        """UTF-8 bytes that a token stands for."""
        return self.n_bytes / max(1, self.tokens)


@dataclass(frozen=True, slots=True)
class Fertility:
    """What the words of a script cost, each as often as it stands in the text."""

    words: int
    characters: int
    n_bytes: int
    """With the space before the word, which is encoded with it where tokens are made of bytes."""
    tokens: int
    whole: int
    """Words that are one token."""

    @property
    def tokens_per_word(self) -> float:
        """The fertility (Rust et al. 2021, arXiv:2012.15613)."""
        return self.tokens / self.words


@dataclass(frozen=True, slots=True)
class TokenUse:
    """How often each id stands in the prepared data."""

    counts: np.ndarray
    """int64 [vocab_size]."""
    pieces: list[bytes]
    """What each id stands for; empty for special ids."""

    @property
    def unused(self) -> list[int]:
        """Ids of text that never occur, the longest first."""
        never = [id_ for id_, piece in enumerate(self.pieces) if piece and not self.counts[id_]]
        return sorted(never, key=lambda id_: (-len(self.pieces[id_]), id_))

    @property
    def longest(self) -> list[int]:
        """All ids of text, the longest first, of equal ones the most frequent."""
        written = [id_ for id_, piece in enumerate(self.pieces) if piece]
        return sorted(written, key=lambda id_: (-len(self.pieces[id_]), -int(self.counts[id_]), id_))


def texts_of(prepared: PreparedData, most_bytes: int) -> list[tuple[str, str]]:
    """Return (source, text) of documents evenly spread over all splits, about `most_bytes` of them together.

    The text is what the tokens stand for.
    """
    total = sum(shards.n_bytes for shards in prepared.splits.values())
    found: list[tuple[str, str]] = []
    seen = taken = 0
    for shards in prepared.splits.values():
        for source, start, stop in _documents(shards):
            if taken * total <= seen * most_bytes or total <= most_bytes:
                text = prepared.tokenizer.decode(shards.tokens(start, stop))
                found.append((prepared.receipt["sources"][source], text))
                taken += len(text.encode())
            seen += round((stop - start) * shards.n_bytes / max(1, shards.n_tokens))
    return found


def _documents(shards: TokenShards) -> Iterator[tuple[int, int, int]]:
    """Yield (number of its source, start, stop) of each document."""
    start = 0
    for end, source in zip(shards.document_ends.tolist(), shards.document_sources.tolist()):
        yield source, start, end
        start = end


def token_use(prepared: PreparedData) -> TokenUse:
    """Count the ids of all splits."""
    counts = np.zeros(prepared.tokenizer.vocab_size, np.int64)
    for shards in prepared.splits.values():
        for start in range(0, shards.n_tokens, TOKENS_AT_ONCE):
            tokens = shards.tokens(start, start + TOKENS_AT_ONCE)
            counts += np.bincount(tokens.astype(np.int64), minlength=len(counts))
    return TokenUse(counts, prepared.tokenizer.bytes_of())


def cost_by_source(tokenizer: Tokenizer, texts: Sequence[tuple[str, str]]) -> dict[str, Cost]:
    """Return source -> what its documents cost, the one with the most text first."""
    sums: dict[str, Counter[str]] = {}
    for (source, text), tokens in zip(texts, _lengths(tokenizer, [text for _, text in texts])):
        counted = Counter(documents=1, n_bytes=len(text.encode()), characters=len(text), tokens=tokens)
        sums.setdefault(source, Counter()).update(counted)
    costs = {source: Cost(**{name: row[name] for name in Cost.__slots__}) for source, row in sums.items()}
    return dict(sorted(costs.items(), key=lambda item: -item[1].n_bytes))


def words_of(texts: Iterable[str]) -> Counter[str]:
    """Count runs of letters."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(_WORD.findall(text))
    return counts


def fertility_by_script(tokenizer: Tokenizer, words: Mapping[str, int]) -> dict[str, Fertility]:
    """Return script -> what its words cost where a space stands before them, the most frequent script first."""
    chosen = Counter(words).most_common(MOST_WORDS)
    lead = " " if tokenizer.is_byte_level else ""
    lengths = _lengths(tokenizer, [lead + word for word, _ in chosen])
    sums: dict[str, Counter[str]] = {}
    for (word, count), tokens in zip(chosen, lengths):
        n_bytes = len((lead + word).encode())
        row = Counter(words=1, characters=len(word), n_bytes=n_bytes, tokens=tokens, whole=int(tokens == 1))
        each = {name: value * count for name, value in row.items()}
        sums.setdefault(script_of(word[0]), Counter()).update(each)
    found = {name: Fertility(**{part: row[part] for part in Fertility.__slots__}) for name, row in sums.items()}
    return dict(sorted(found.items(), key=lambda item: -item[1].words))


@cache
def script_of(letter: str) -> str:
    """Return the name of the script that a letter belongs to, `other` for a rare one."""
    return next((name for name, pattern in _SCRIPT if pattern.match(letter)), OTHER)


def cost_by_language(tokenizer: Tokenizer) -> dict[str, Cost]:
    """Return language -> what Article 1 of the Universal Declaration of Human Rights costs in it."""
    lengths = _lengths(tokenizer, list(ARTICLE_ONE.values()))
    return {
        language: Cost(1, len(text.encode()), len(text), tokens)
        for (language, text), tokens in zip(ARTICLE_ONE.items(), lengths)
    }


def round_trip(tokenizer: Tokenizer, texts: Sequence[tuple[str, str]]) -> tuple[dict[str, str | None], int]:
    """Return (hard text -> what came back where that differs, else None; documents that do not come back)."""
    hard = {name: _lost(tokenizer, text) for name, text in HARD.items()}
    return hard, sum(_lost(tokenizer, text) is not None for _, text in texts)


def _lost(tokenizer: Tokenizer, text: str) -> str | None:
    try:
        back = tokenizer.decode(tokenizer.encode(text))
    except DataError as error:
        return str(error)
    return None if back == text else back


def _lengths(tokenizer: Tokenizer, texts: Sequence[str]) -> list[int]:
    """Return the number of tokens of each text; of long ones piece by piece, so that memory is bounded."""
    lengths = [0] * len(texts)
    batch: list[tuple[int, str]] = []
    size = 0
    for place, text in enumerate(texts):
        for piece in tokenizer.pieces(text):
            batch.append((place, piece))
            size += len(piece)
        if size >= CHARACTERS_AT_ONCE or place == len(texts) - 1:
            for (number, _), ids in zip(batch, tokenizer.encode_batch([piece for _, piece in batch])):
                lengths[number] += len(ids)
            batch, size = [], 0
    return lengths
