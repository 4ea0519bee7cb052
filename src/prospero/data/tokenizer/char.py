"""One id for each character of the training text; what is not among them becomes <unk> and is counted."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tokenizers import Tokenizer as Inner
from tokenizers import decoders, models

from prospero.data.tokenizer.tokenizer import EOT, UNKNOWN, Tokenizer
from prospero.errors import ConfigError, DataError


@dataclass(kw_only=True, slots=True)
class CharTokenizerConfig:
    """Characters (Unicode code points) of the training split."""

    min_count: int = 1
    """Occurrences in the training split that a character needs to get an id of its own."""

    def __post_init__(self) -> None:
        if self.min_count < 1:
            raise ConfigError(f"tokenizer.min_count={self.min_count} must be 1 or more")

    def build(self, texts: Callable[[], Iterator[str]]) -> Tokenizer:
        """Count the characters of `texts()` and give them ids in the order of their code points."""
        counts: Counter[str] = Counter()
        for text in texts():
            counts.update(text)
        kept = sorted(character for character, count in counts.items() if count >= self.min_count)
        if not kept:
            raise DataError("the training split has no characters, so tokenizer=char has no vocabulary")
        vocabulary = {token: id_ for id_, token in enumerate([*kept, UNKNOWN, EOT])}
        inner = Inner(models.BPE(vocab=vocabulary, merges=[], unk_token=UNKNOWN, fuse_unk=False))
        inner.decoder = decoders.Fuse()
        inner.add_special_tokens([UNKNOWN])
        return Tokenizer(inner, EOT)

    def needs_texts(self) -> bool:
        """Whether `build` reads the training text."""
        return True
