"""The model of a run as a reader of texts, for cleaning=[score]: how many bits it needs for a byte."""

import math
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from prospero.checkpoints.model_folder import load_model
from prospero.checkpoints.source import Source, is_source
from prospero.data.receipt import digest
from prospero.errors import ConfigError

if TYPE_CHECKING:
    from prospero.data.tokenizer.tokenizer import Tokenizer
    from prospero.generation.decoder import Decoder


class RunTextModel:
    """A model of Prospero's and its tokenizer; the weights are read with the first text."""

    def __init__(self, source: Source) -> None:
        self.source = source

    @property
    def fingerprint(self) -> str:
        """Hash of the manifest of its files, and of its tokenizer."""
        return digest([self.source.fingerprint, self.source.tokenizer])

    @cached_property
    def _opened(self) -> "tuple[Decoder, Tokenizer]":
        from prospero.generation.fastest import decoder_for
        from prospero.generation.settings import Precision

        model, tokenizer, _ = load_model(self.source.path)
        assert tokenizer is not None, "Source.open has read it"
        return decoder_for(model, Precision.float32, None), tokenizer

    def bits_per_byte(self, text: str) -> float:
        """Return the bits for a byte of a text, read as a document from its start; windows slide by half."""
        import torch

        from prospero.generation.engine import first_ids
        from prospero.generation.generate import score_ids

        decoder, tokenizer = self._opened
        start = first_ids(tokenizer, "")[:1]
        with torch.inference_mode(), decoder.session():
            nats = -math.fsum(score_ids(decoder, [*start, *tokenizer.encode(text)]))
        return nats / math.log(2) / len(text.encode())


def open_text_model(run: str) -> RunTextModel:
    """Return the model in a folder: a run, a model folder or a checkpoint; ConfigError when it is none of them."""
    path = Path(run).expanduser()
    if not path.is_dir() or not is_source(path):
        found = "is no folder of a run, a model or a checkpoint" if path.is_dir() else "does not exist"
        raise ConfigError(f"cleaning.score.run={run} {found}; give one, such as outputs/train/<run>")
    return RunTextModel(Source.open(run, path, verify=False))
