"""One id for each byte: nothing to train, nothing unknown, the longest sequences."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tokenizers import Tokenizer as Inner
from tokenizers import decoders, models, pre_tokenizers

from prospero.data.tokenizer.tokenizer import EOT, Tokenizer, byte_alphabet


@dataclass(kw_only=True, slots=True)
class ByteTokenizerConfig:
    """UTF-8 bytes: id = byte, and one more id for the document separator."""

    def build(self, texts: Callable[[], Iterator[str]] | None = None) -> Tokenizer:
        """Return the tokenizer; `texts` is not read."""
        inner = Inner(models.BPE(vocab=byte_alphabet(), merges=[]))
        inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        inner.decoder = decoders.ByteLevel()
        return Tokenizer(inner, EOT)

    def needs_texts(self) -> bool:
        """Whether `build` reads the training text."""
        return False
