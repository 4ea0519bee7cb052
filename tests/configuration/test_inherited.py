"""`init_from`: groups that nobody chose come from the source; what was set within them is kept."""

import pytest
from omegaconf import OmegaConf

from prospero import compose
from prospero.configuration.inherited import leave_to_source
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.errors import ConfigError
from prospero.model.rnn import LSTMConfig
from prospero.model.transformer import TransformerConfig


@pytest.mark.heavy
def test_groups_left_alone_are_the_sources():
    config = compose("train", ["init_from=a", "model.dropout=0.25", "seq_len=32"])
    assert config.model == {"dropout": 0.25} and config.tokenizer == {}
    assert compose("train", ["init_from=a", "tokenizer.vocab_size=300"]).tokenizer == {"vocab_size": 300}


@pytest.mark.heavy
def test_groups_that_were_chosen_are_kept_by_a_word_or_an_experiment():
    config = compose("train", ["init_from=a", "model=lstm", "tokenizer=byte"])
    assert isinstance(config.model, LSTMConfig) and isinstance(config.tokenizer, ByteTokenizerConfig)
    assert isinstance(compose("train", ["init_from=a", "model=small"]).model, TransformerConfig)
    assert isinstance(compose("train", ["init_from=a", "experiment=gpt2_124m"]).model, TransformerConfig)


def test_without_a_source_nothing_changes():
    assert isinstance(compose("train", ["model.dropout=0.25"]).model, TransformerConfig)


def test_a_mistyped_setting_is_refused_as_ever_and_rows_need_a_source():
    with pytest.raises(ConfigError, match=r"There is no setting 'model\.dropuot'\. Did you mean 'model\.dropout'"):
        compose("train", ["init_from=a", "model.dropuot=0.25"])
    with pytest.raises(ConfigError, match=r"init\.resize_vocab=true is for init_from=, which is not given"):
        compose("train", ["init.resize_vocab=true"])
    with pytest.raises(ConfigError, match="init_from= is empty; give a run or a folder"):
        compose("train", ["init_from=' '"])


def test_what_an_experiment_sets_within_a_group_is_kept():
    def composed(words):
        model = {"dropout": 0.3 if words else 0.0, "n_layers": 4, "windows": []}
        hydra = {"runtime": {"choices": {"model": "small", "tokenizer": "bpe"}}}
        return OmegaConf.create({"init_from": "a", "model": model, "tokenizer": {"vocab_size": 300}, "hydra": hydra})

    cfg = composed(["experiment=mine"])
    leave_to_source(cfg, ["experiment=mine", "init_from=a"], composed)
    assert cfg.model == {"dropout": 0.3} and cfg.tokenizer == {}
