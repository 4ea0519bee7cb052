"""The network of a run: what does not go with it is said before anything is prepared."""

from types import SimpleNamespace

import pytest
import torch

from prospero import compose
from prospero.data.rendering.chat_template import CHATML, named_control_tokens
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.errors import ConfigError
from prospero.model.adapters.freeze import FreezeConfig
from prospero.model.adapters.lora import LoRAConfig
from prospero.model.transformer import TransformerConfig
from prospero.training import network
from prospero.training.network import check_adapter


def test_an_adapter_of_names_that_the_model_lacks_is_refused_without_its_data():
    before = torch.get_rng_state()
    config = compose("train", ["model=tiny", "adapter=lora", "adapter.targets=[atention]"])
    with pytest.raises(ConfigError, match=r"no matrix of the blocks 'atention'\. Did you mean 'attention'"):
        check_adapter(config)
    with pytest.raises(ConfigError, match=r"Did you mean 'head'"):
        check_adapter(compose("train", ["model=tiny", "adapter=freeze", "adapter.train=[haed]"]))
    assert torch.equal(torch.get_rng_state(), before)


def test_what_goes_with_the_model_passes():
    for words in (["adapter=lora"], ["adapter=none"], ["adapter=lora", "model=lstm_tiny"]):
        check_adapter(compose("train", ["model=tiny", *words]))


@pytest.fixture
def with_new_tokens():
    """A run that goes on from a model of bytes, and data whose rendering has added ChatML's control tokens."""
    bytes_alone = ByteTokenizerConfig()
    more = bytes_alone.build().with_control_tokens(named_control_tokens(CHATML), CHATML)
    source = SimpleNamespace(given="last", vocab_size=257, max_seq_len=32)
    config = SimpleNamespace(tokenizer=bytes_alone, init=SimpleNamespace(resize_vocab=False), seq_len=32)
    return SimpleNamespace(config=config, source=source), SimpleNamespace(tokenizer=more)


def test_new_control_tokens_need_rows(with_new_tokens):
    session, prepared = with_new_tokens
    with pytest.raises(ConfigError, match=r"adds control tokens \(<\|im_start\|>, <\|im_end\|>\), and the"):
        network._sizes(session, prepared)
    session.config.init.resize_vocab = True
    assert network._sizes(session, prepared) == {"vocab_size": 259, "max_seq_len": 32}


def test_rows_of_new_control_tokens_that_no_adapter_trains_are_refused(with_new_tokens):
    session, prepared = with_new_tokens
    for adapter in (LoRAConfig(), FreezeConfig(train=["blocks"])):
        model = TransformerConfig(n_layers=1, d_model=16, n_heads=2).build(vocab_size=259, max_seq_len=32)
        adapter.build().apply(model)
        with pytest.raises(ConfigError, match=r"<\|im_end\|>\) whose rows the adapter would not train"):
            network._check_new_tokens_are_trained(session, prepared, model)
        network._check_new_tokens_are_trained(session, SimpleNamespace(tokenizer=ByteTokenizerConfig().build()), model)
    model = TransformerConfig(n_layers=1, d_model=16, n_heads=2).build(vocab_size=259, max_seq_len=32)
    network._check_new_tokens_are_trained(session, prepared, model)
