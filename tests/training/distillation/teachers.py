"""Model folders of tiny teachers with something to say: their weights are far larger than those of a fresh model."""

from pathlib import Path

import torch

from prospero.checkpoints.model_folder import describe_model, save_model_folder
from prospero.checkpoints.source import Source
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.model.transformer import TransformerConfig

MODEL = TransformerConfig(n_layers=1, d_model=16, n_heads=2)
VOCAB, SEQ_LEN = 257, 32
"""Of the byte tokenizer, and the most that they read at once."""


def write_teacher(folder: Path, model=MODEL, *, vocab_size: int = VOCAB, seed: int = 1) -> Source:
    """Write a teacher to `folder` and return where it lies."""
    torch.manual_seed(seed)
    description = describe_model(model, vocab_size=vocab_size, max_seq_len=SEQ_LEN)
    state = {name: torch.randn_like(tensor) for name, tensor in model.build(vocab_size, SEQ_LEN).state_dict().items()}
    save_model_folder(folder, state, ByteTokenizerConfig().build(lambda: iter(())), description)
    return Source.open(str(folder), folder)
