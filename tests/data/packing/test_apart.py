"""Packed = alone: an example gives the same logits beside others as in a sequence of its own."""

import logging

import numpy as np
import pytest
import torch

from prospero.batch import IGNORE_INDEX
from prospero.data.packing.apart import examples_mix, say_if_examples_mix
from prospero.data.packing.best_fit import BestFitPackingConfig
from prospero.data.packing.concat import ConcatPackingConfig
from prospero.data.packing.padded import PaddedPackingConfig
from prospero.data.shards import ShardWriter, TokenShards
from prospero.model.rnn import LSTMConfig
from prospero.model.transformer import Position, TransformerConfig

VOCAB, SEQ_LEN = 40, 24


@pytest.fixture
def shards(tmp_path) -> TokenShards:
    writer = ShardWriter(tmp_path / "train.bin", np.uint16, 0, targets=True)
    generator = np.random.default_rng(0)
    for _ in range(12):
        for target in (False, True):
            count = int(generator.integers(2, 6))
            ids = generator.integers(1, VOCAB, count).astype(np.uint16)
            writer.add(ids, n_bytes=count, n_characters=count, target=target)
        writer.end_document()
    writer.close()
    return TokenShards(tmp_path / "train.bin", targets=tmp_path / "train.targets")


def target_logits(model, shards: TokenShards, packing, *, document_ids: bool) -> torch.Tensor:
    """The logits of all targets, in the order of the examples."""
    packed = packing.build(shards, SEQ_LEN)
    indices = np.arange(len(packed))
    batch = {name: torch.from_numpy(array) for name, array in packed.read(indices).items()}
    inputs = {"document_ids": batch["document_ids"]} if document_ids else {}
    with torch.no_grad():
        logits = model(batch["input_ids"], **inputs).logits
    found = {}
    for row in indices:
        for number, document in enumerate(packed.documents(np.array([row])).tolist()):
            is_target = (batch["document_ids"][row] == number) & (batch["labels"][row] != IGNORE_INDEX)
            found[document] = logits[row][is_target]
    assert (len(found) == 12 and len(packed) < 12) or isinstance(packing, PaddedPackingConfig)
    return torch.cat([found[document] for document in sorted(found)])


@pytest.mark.parametrize("position", list(Position))
def test_a_transformer_that_reads_document_ids(shards, position):
    torch.manual_seed(0)
    shape = {"n_layers": 2, "d_model": 32, "n_heads": 4, "position": position, "init_std": 0.3}
    config = TransformerConfig(document_attention=True, **shape)
    model = config.build(vocab_size=VOCAB, max_seq_len=SEQ_LEN).eval()
    together = target_logits(model, shards, BestFitPackingConfig(), document_ids=True)
    alone = target_logits(model, shards, PaddedPackingConfig(), document_ids=True)
    assert together.shape == (int(shards.targets.sum()), VOCAB)
    assert torch.allclose(together, alone, atol=1e-5, rtol=0)
    mixed = TransformerConfig(**shape)
    other = mixed.build(vocab_size=VOCAB, max_seq_len=SEQ_LEN).eval()
    other.load_state_dict(model.state_dict())
    found = target_logits(other, shards, BestFitPackingConfig(), document_ids=False)
    assert (found - alone).abs().max() > 0.01


def test_a_recurrent_model_reads_an_example_alone_where_it_is_padded(shards):
    torch.manual_seed(0)
    model = LSTMConfig(n_layers=1, d_model=16).build(vocab_size=VOCAB, max_seq_len=SEQ_LEN).eval()
    alone = target_logits(model, shards, PaddedPackingConfig(), document_ids=False)
    start, first = 1, []
    for end in shards.document_ends.tolist():
        ids = torch.from_numpy(shards.tokens(start - 1, end).astype(np.int64))
        with torch.no_grad():
            logits = model(ids[None, :-1]).logits[0]
        first.append(logits[torch.tensor(shards.targets[start:end])])
        start = end
    assert torch.allclose(alone, torch.cat(first), atol=1e-5, rtol=0)


def test_it_is_said_where_examples_see_each_other(shards, tmp_path, caplog):
    for packing in (ConcatPackingConfig(), BestFitPackingConfig()):
        assert examples_mix(shards, packing, document_ids=False)
        assert not examples_mix(shards, packing, document_ids=True)
    assert not examples_mix(shards, PaddedPackingConfig(), document_ids=False)
    assert not examples_mix(TokenShards(shards.path), BestFitPackingConfig(), document_ids=False)
    caplog.set_level(logging.WARNING)
    say_if_examples_mix(shards, BestFitPackingConfig(), document_ids=False)
    assert [record.getMessage() for record in caplog.records] == [
        "several examples share a sequence and the model reads those before its own; keep them apart with "
        "packing=padded, or, for a Transformer, model.document_attention=true"
    ]
