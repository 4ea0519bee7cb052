"""Byte-pair encoding trained here (Sennrich et al. 2016, arXiv:1508.07909; on bytes: Radford et al. 2019, GPT-2)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from tokenizers import Regex, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as Inner

from prospero.data.tokenizer.tokenizer import EOT, Tokenizer
from prospero.errors import ConfigError, DataError
from prospero.log import log

PIECE_CHARACTERS = 2**16
"""Length of the pieces in which text is shown to the trainer, which holds whole pieces in memory."""


class Pattern(Enum):
    """How text is cut before merging; a token never reaches over a cut."""

    gpt2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}{DIGITS}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    gpt4 = (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{DIGITS}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
    )


@dataclass(kw_only=True, slots=True)
class BPETokenizerConfig:
    """Byte-level BPE learnt from the training split: every text can be written, nothing is unknown."""

    vocab_size: int = 1024
    """Ids in all: 256 bytes, the document separator, and the merges. Small corpora may yield fewer."""
    pattern: Pattern = Pattern.gpt4
    """Cut of the text before merging: GPT-2's rule or GPT-4's (which keeps line ends with punctuation)."""
    max_digits: int = 1
    """Longest run of digits in one token."""
    min_frequency: int = 2
    """Occurrences that a pair needs to be merged."""
    max_training_mb: int = 64
    """Megabytes of training text that the merges are learnt from, taken evenly over the whole split."""

    def __post_init__(self) -> None:
        if self.vocab_size < 257:
            raise ConfigError(
                f"tokenizer.vocab_size={self.vocab_size} is too small: 256 bytes and the separator need 257"
            )
        for name in ("max_digits", "min_frequency", "max_training_mb"):
            if getattr(self, name) < 1:
                raise ConfigError(f"tokenizer.{name}={getattr(self, name)} must be 1 or more")

    def build(self, texts: Callable[[], Iterator[str]]) -> Tokenizer:
        """Learn the merges from `texts()`; the same text gives the same merges, whatever the order of its documents."""
        inner = Inner(models.BPE())
        expression = Regex(self.pattern.value.replace("{DIGITS}", f"{{1,{self.max_digits}}}"))
        split = pre_tokenizers.Split(expression, behavior="isolated")
        to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        inner.pre_tokenizer = pre_tokenizers.Sequence([split, to_bytes])
        inner.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocab_size,
            min_frequency=self.min_frequency,
            special_tokens=[EOT],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        sample = even_sample(texts, self.max_training_mb * 1_000_000)
        inner.train_from_iterator(sample, trainer)
        found = inner.get_vocab_size()
        if found <= 257:
            raise DataError("the training split is too short to learn a single merge; give more text or tokenizer=byte")
        if found < self.vocab_size:
            log.warning("The text yields %d tokens, fewer than tokenizer.vocab_size=%d.", found, self.vocab_size)
        return Tokenizer(inner, EOT)

    def needs_texts(self) -> bool:
        """Whether `build` reads the training text."""
        return True


def even_sample(texts: Callable[[], Iterator[str]], max_bytes: int) -> Iterator[str]:
    """Yield pieces of `texts()`, all of them or an even share that adds up to about `max_bytes` of UTF-8."""
    total = sum(len(text.encode()) for text in texts())
    ratio = min(1.0, max_bytes / max(total, 1))
    seen = taken = 0
    for text in texts():
        for start in range(0, len(text), PIECE_CHARACTERS):
            piece = text[start : start + PIECE_CHARACTERS]
            size = len(piece.encode())
            if ratio == 1.0 or taken <= seen * ratio:
                taken += size
                yield piece
            seen += size
