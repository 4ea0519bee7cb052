"""The packed decoder: the tokens and odds of the model's own forward, and what it leaves to that."""

import dataclasses

import pytest
import torch
from torch import nn

from prospero.generation.decoder import ModelDecoder
from prospero.generation.engine import Engine
from prospero.generation.generate import generate, score
from prospero.generation.packed import PackedDecoder, why_not
from prospero.generation.sampling import SamplingConfig
from prospero.generation.settings import Precision
from prospero.generation.weighing import weigh
from prospero.model.layers.feed_forward import Activation
from prospero.model.layers.lookback import Lookback
from prospero.model.layers.norms import Norm
from prospero.model.layers.rotary import RopeScalingConfig, Scaling
from prospero.model.transformer import Position, Transformer, TransformerConfig
from tests.generation.presets import SEQ_LEN, TOKENIZER, presets, tiny, tiny_settings

GREEDY = SamplingConfig(temperature=0.0, max_new_tokens=45)
SHAPE = {"n_layers": 2, "d_model": 32, "n_heads": 4, "norm_eps": 0.1}
SWITCHES = {
    "grouped": TransformerConfig(**SHAPE, n_kv_heads=2, head_dim=16, qk_norm=True, tie_embeddings=True),
    "one key": TransformerConfig(**SHAPE, n_kv_heads=1, bias=True),
    "layer norm": TransformerConfig(**SHAPE, norm=Norm.layer, bias=True, qk_norm=True, rope_theta=50.0),
    "relu2": TransformerConfig(**SHAPE, activation=Activation.relu2, logit_softcap=2.0),
    "learned": TransformerConfig(**SHAPE, position=Position.learned, activation=Activation.gelu, d_ff=40),
    "qwen 2, llama 3": TransformerConfig(
        **SHAPE,
        qkv_bias=True,
        rope_scaling=RopeScalingConfig(kind=Scaling.llama3, factor=4.0, original_max_seq_len=16),
        rope_theta=500.0,
    ),
    "gemma": TransformerConfig(
        **SHAPE, activation=Activation.geglu, embedding_scale=5.7, tie_embeddings=True, feed_forward_bias=True
    ),
    "yarn": TransformerConfig(
        **SHAPE,
        activation=Activation.gelu_exact,
        attention_out_bias=True,
        rope_scaling=RopeScalingConfig(kind=Scaling.yarn, factor=4.0, original_max_seq_len=16),
    ),
    "learned, qk_norm": TransformerConfig(**SHAPE, position=Position.learned, qk_norm=True),
}
PRESETS = {name: tiny_settings(name) for name in presets()}
MODELS = SWITCHES | {name: config for name, config in PRESETS.items() if isinstance(config, TransformerConfig)}


@pytest.fixture(params=MODELS)
def model(request) -> Transformer:
    torch.manual_seed(2)
    model = MODELS[request.param].build(TOKENIZER.vocab_size, SEQ_LEN).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            spread = 0.5 if "norm" in name else 0.2
            parameter.add_(torch.randn_like(parameter) * spread)
    return model


def test_logits_are_those_of_forward(model):
    assert why_not(model) is None
    decoder, ids = PackedDecoder(model), torch.randint(0, 256, (5, 12))
    with torch.no_grad():
        expected = model(ids).logits
        torch.testing.assert_close(decoder.add(ids[:, :7].tolist(), range(5)), expected[:, 6], atol=1e-4, rtol=1e-4)
        for place in range(7, 12):  # five rows at once
            torch.testing.assert_close(decoder.step(ids[:, place]), expected[:, place], atol=1e-4, rtol=1e-4)
        decoder.select([3])  # and one
        more = torch.cat((ids[3:4], torch.tensor([[9]])), dim=1)
        torch.testing.assert_close(decoder.step(more[0, -1:]), model(more).logits[:, -1], atol=1e-4, rtol=1e-4)


@pytest.mark.heavy
def test_texts_are_those_of_forward_in_any_batch(model):
    """Ragged, joining and leaving, beyond the window; and their odds, and those of a given text."""
    prompts = ["The import", "x", "def f(a):", "", "0", "0", "yes and no, " * 2]
    expected = generate(model, TOKENIZER, prompts, GREEDY, log_probabilities=True)
    decoder = PackedDecoder(model)
    for batch_size in (1, 3, 7):
        found = generate(decoder, TOKENIZER, prompts, GREEDY, batch_size=batch_size, log_probabilities=True)
        assert found == expected
        for one, other in zip(found, expected):
            assert one.log_probabilities == pytest.approx(other.log_probabilities, abs=1e-4)
    text = "A text that is longer than the window of the model."
    assert score(decoder, TOKENIZER, text).log_probabilities == pytest.approx(
        score(model, TOKENIZER, text).log_probabilities, abs=1e-4
    )


@pytest.mark.parametrize("preset", presets())
def test_ends_of_rows_are_scored_as_whole_rows_are(preset):
    model = tiny(preset)
    rows = [TOKENIZER.encode(text) for text in ("The import", "x=", "def f(a): return a")]
    counts = [3, 1, 17]
    for decoder in [ModelDecoder(model), *([PackedDecoder(model)] if why_not(model) is None else [])]:
        found = [weighed.log_probabilities for weighed in weigh(decoder, rows, counts)]
        assert [len(scores) for scores in found] == counts
        for ids, count, scores in zip(rows, counts, found):
            torch.testing.assert_close(scores, decoder.scores(ids)[-count:], atol=1e-4, rtol=0)


def test_beams_are_those_of_forward(model):
    search = SamplingConfig(temperature=0.0, beams=3, n=2, max_new_tokens=8)
    assert generate(PackedDecoder(model), TOKENIZER, ["ab"], search) == generate(model, TOKENIZER, ["ab"], search)


@pytest.mark.parametrize(("precision", "error"), [(Precision.bf16, 0.1), (Precision.int8, 0.2)])
def test_narrow_weights_are_near(model, precision, error):
    exact, narrow, ids = PackedDecoder(model), PackedDecoder(model, precision), list(range(20))
    difference = (exact.scores(ids) - narrow.scores(ids)).abs()
    assert 0 < difference.mean() < error


def test_memory_grows_and_is_used_again():
    model = dataclasses.replace(SWITCHES["grouped"]).build(TOKENIZER.vocab_size, 600).eval()
    engine = Engine(PackedDecoder(model), TOKENIZER, max_rows=2)
    prompts, sampling = ["a" * 250, "b" * 10, "c" * 300], SamplingConfig(temperature=0.0, max_new_tokens=20)
    for prompt in prompts:
        engine.add(prompt, sampling)
    ended = []
    while not engine.idle:
        ended += [event.completion for event in engine.step() if event.completion is not None]
    expected = generate(model, TOKENIZER, prompts, sampling)
    assert sorted(ended, key=str) == sorted(expected, key=str)
    assert engine.decoder.rows == 0


def test_what_it_does_not_know_is_named():
    assert why_not(tiny("lstm")) == "RNN"
    shift = TransformerConfig(**SHAPE, lookback=Lookback.shift).build(300, 32)
    assert why_not(shift) == "lookback=shift"
    with pytest.raises(ValueError, match="does not know lookback=shift"):
        PackedDecoder(shift)
    adapted = TransformerConfig(**SHAPE).build(300, 32)
    adapted.blocks[0].attention.q.register_parameter("lora_A", nn.Parameter(torch.ones(1)))
    assert why_not(adapted) == "the parameter blocks.0.attention.q.lora_A"
    swapped = TransformerConfig(**SHAPE).build(300, 32)
    swapped.blocks[0].attention.q.__class__ = type("Other", (nn.Linear,), {})
    assert why_not(swapped) == "blocks.0.attention.q is a Other"
