"""The choice of a decoder: what is said of it, and what is refused."""

import json

import numpy as np
import pytest
import torch

from prospero.data.shards import TokenShards
from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.errors import ConfigError
from prospero.generation import fastest
from prospero.generation.decoder import ModelDecoder
from prospero.generation.fastest import decoder_for
from prospero.generation.packed import PackedDecoder
from prospero.generation.settings import Precision
from prospero.generation.validation_text import ValidationText, find_validation_text
from prospero.log import log
from tests.generation.presets import TOKENIZER, tiny

TEXT = ValidationText(TOKENIZER.encode("Some text of validation."), TOKENIZER.token_bytes())


@pytest.fixture
def said(caplog):
    log.propagate = True
    caplog.set_level("INFO", logger="prospero")
    return caplog


def bits(model) -> float:
    """Bits per byte by one forward pass."""
    ids = torch.tensor([TEXT.ids])
    with torch.no_grad():
        logs = model(ids[:, :-1]).logits[0].double().log_softmax(-1)
    return -float(logs.gather(1, ids[0, 1:].unsqueeze(1)).sum()) / np.log(2) / (ids.shape[1] - 1)


def test_float32_says_nothing_and_narrow_weights_say_what_they_cost(said):
    model = tiny("tiny")
    assert decoder_for(model, Precision.float32, TEXT).precision is Precision.float32
    assert not said.messages
    for precision in (Precision.int8, Precision.bf16):
        said.clear()
        assert decoder_for(model, precision, TEXT).precision is precision
        [line] = said.messages
        assert line.startswith(f"precision: {precision.name}; bits per byte {bits(model):.4f} -> ")
        assert line.endswith("%) on 23 tokens of validation")
    said.clear()
    decoder_for(model, Precision.int8, None)
    assert said.messages == ["precision: int8; bits per byte cannot be measured: the run's prepared data are not here"]


@pytest.mark.parametrize(("fast", "ratio", "text", "chosen"), [
    (Precision.int8, 1.005, TEXT, Precision.int8),
    (Precision.int8, 1.006, TEXT, Precision.bf16),
    (Precision.int8, 1.0, None, Precision.float32),
    (Precision.float32, 1.0, TEXT, Precision.float32),
])  # fmt: skip
def test_auto_takes_the_fastest_that_is_good_enough(said, monkeypatch, fast, ratio, text, chosen):
    """int8 has `ratio` times the bits per byte of the others, bf16 is second."""
    order = {fast: 1.0, Precision.bf16: 2.0}
    monkeypatch.setattr(fastest, "_seconds_a_step", lambda decoder, rows: order.get(decoder.precision, 3.0))
    cost = {Precision.int8: 2.0 * ratio}
    monkeypatch.setattr(fastest, "_bits_per_byte", lambda decoder, text: cost.get(decoder.precision, 2.0))
    assert decoder_for(tiny("tiny"), Precision.auto, text).precision is chosen
    assert said.messages[0].startswith(f"precision: {chosen.name} (ms a step: float32 ")


def test_auto_measures(said):
    assert isinstance(decoder_for(tiny("tiny"), Precision.auto, TEXT, rows=2), PackedDecoder)
    assert "ms a step: float32" in said.messages[0]


def test_a_model_it_does_not_know_goes_through_its_forward(said):
    model = tiny("lstm")
    for precision in (Precision.float32, Precision.auto):
        assert isinstance(decoder_for(model, precision, TEXT), ModelDecoder)
    assert said.messages[0] == "precision: float32, through the model's own forward (it has RNN)"
    with pytest.raises(
        ConfigError, match="precision=int8 is for Transformers of the usual parts, and this model has RNN"
    ):
        decoder_for(model, Precision.int8, TEXT)


def test_the_validation_text_is_that_of_the_runs_data(tmp_path, monkeypatch):
    folder = tmp_path / "corpus"
    folder.mkdir()
    receipt = {"fingerprint": "abc", "splits": {"val": {"file": "val.bin"}}}
    (folder / "receipt.json").write_text(json.dumps(receipt))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "receipt.json").write_text("{")
    monkeypatch.setattr(
        TokenShards, "__init__", lambda self, path: self.__dict__.update(all_tokens=np.arange(9000) % 200)
    )
    found = find_validation_text(tmp_path, "abc", TOKENIZER)
    assert found is not None and found.ids[:3] == [0, 1, 2] and len(found.ids) == 4097 and found.n_bytes == 4096
    assert find_validation_text(tmp_path, "abd", TOKENIZER) is None
    assert find_validation_text(tmp_path, None, TOKENIZER) is None
    assert isinstance(TOKENIZER, Tokenizer)
