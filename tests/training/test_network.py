"""The network of a run: what does not go with it is said before anything is prepared."""

import pytest
import torch

from prospero import compose
from prospero.errors import ConfigError
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
