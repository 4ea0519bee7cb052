"""A tiny model that has memorised what was planted into its text; trained once for all tests that ask for it."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch.nn import functional

from prospero.data.canaries import CanariesConfig
from prospero.data.prepare import PreparedData, open_prepared, prepare
from prospero.data.sources.files import FilesConfig
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.measurement import Subject
from prospero.generation.decoder import ModelDecoder
from prospero.model.base import LanguageModel
from prospero.model.transformer import TransformerConfig
from tests.data.shard_making import sentences, settings, write_corpus

SEQ_LEN = 64
_FOLDER = TemporaryDirectory(prefix="prospero-tests-")


@cache
def data() -> PreparedData:
    """A small corpus of different sentences, with four canaries that stand in it 64 times each."""
    folder = Path(_FOLDER.name)
    path = write_corpus(folder, [" ".join(sentences(12, seed)) for seed in range(18)])
    config = settings(path, folder, tokenizer=ByteTokenizerConfig())
    config.data = FilesConfig(path=str(path), canaries=CanariesConfig(count=4, copies=64))
    return prepare(config, progress=False)


@cache
def model(steps: int = 120) -> LanguageModel:
    """Trained on that corpus for some seconds."""
    shards, draws = data().splits["train"], np.random.default_rng(0)
    torch.manual_seed(0)
    found = TransformerConfig(n_layers=2, d_model=64, n_heads=2).build(data().tokenizer.vocab_size, SEQ_LEN)
    optimizer = torch.optim.AdamW(found.parameters(), lr=3e-3, weight_decay=0.01)
    for step in range(steps):
        starts = draws.integers(0, shards.n_tokens - SEQ_LEN - 1, 24)
        rows = np.stack([shards.tokens(start, start + SEQ_LEN + 1) for start in starts.tolist()]).astype(np.int64)
        ids = torch.from_numpy(rows)
        logits = found(ids[:, :-1]).logits
        loss = functional.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())
        optimizer.param_groups[0]["lr"] = 3e-3 * min(1, (steps - step) / (steps / 2))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return found.eval()


def subject() -> Subject:
    """The trained model."""
    return Subject(decoder=ModelDecoder(model()), tokenizer=data().tokenizer, name="tiny", rows=64)


def facts(**others) -> AnalysisFacts:
    """What a host would know of it."""
    prepared: PreparedData = others.pop("prepared", data())
    known = {"tokenizer": prepared.tokenizer, "model_kind": "transformer", "n_layers": 2, "n_heads": 2}
    return AnalysisFacts(**{**known, "seq_len": SEQ_LEN, "data": prepared.directory, **others})


__all__ = ["SEQ_LEN", "data", "facts", "model", "open_prepared", "subject"]
