"""Beam search: against greedy decoding, against every text there is, and its rules of ending."""

import itertools

import pytest
import torch

from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.data.tokenizer.char import CharTokenizerConfig
from prospero.errors import ConfigError
from prospero.generation.beam import search
from prospero.generation.decoder import ModelDecoder
from prospero.generation.generate import generate
from prospero.generation.sampling import SamplingConfig
from prospero.generation.settings import Context
from prospero.model.rnn import LSTMConfig
from prospero.model.transformer import TransformerConfig

BYTES = ByteTokenizerConfig().build(lambda: iter(()))
CONFIGS = {
    "transformer": TransformerConfig(n_layers=2, d_model=32, n_heads=2),
    "lstm": LSTMConfig(n_layers=1, d_model=32),
}


def lively(name: str, vocab_size: int, seed: int = 0):
    torch.manual_seed(seed)
    model = CONFIGS[name].build(vocab_size, 16).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model


@pytest.mark.parametrize("name", CONFIGS)
def test_one_beam_is_greedy(name):
    greedy = SamplingConfig(temperature=0.0, max_new_tokens=8, repetition_penalty=1.2, no_repeat_ngram=3)
    for seed in range(3):
        model = lively(name, BYTES.vocab_size, seed)
        for prompt in ("ab", ""):
            [expected] = generate(model, BYTES, [prompt], greedy, log_probabilities=True)
            [found] = search(ModelDecoder(model), BYTES, prompt, greedy)
            assert found == expected
            assert found.log_probabilities == pytest.approx(expected.log_probabilities, abs=1e-5)


@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("name", CONFIGS)
def test_enough_beams_find_the_best_of_all_texts(name, penalty):
    tokenizer = CharTokenizerConfig().build(lambda: iter(["abc"]))
    model = lively(name, tokenizer.vocab_size, seed=3)
    prompt = tokenizer.encode("ab")

    def value(ids: tuple[int, ...]) -> float:
        with torch.no_grad():
            logits = model(torch.tensor([[*prompt, *ids[:-1]]])).logits[0, len(prompt) - 1 :]
        logs = logits.log_softmax(-1).gather(1, torch.tensor(ids).unsqueeze(1))
        return float(logs.sum()) / len(ids) ** penalty

    others = [id_ for id_ in range(tokenizer.vocab_size) if id_ != tokenizer.eot_id]
    texts = list(itertools.product(others, repeat=3))
    texts += [(*text, tokenizer.eot_id) for size in range(3) for text in itertools.product(others, repeat=size)]
    ranked = sorted(texts, key=value, reverse=True)
    sampling = SamplingConfig(temperature=0.0, beams=200, n=3, length_penalty=penalty, max_new_tokens=3)
    found = search(ModelDecoder(model), tokenizer, "ab", sampling)
    expected = [[id_ for id_ in text if id_ != tokenizer.eot_id] for text in ranked[:3]]
    assert [completion.ids for completion in found] == expected
    assert found[0].ended_by == ("separator" if ranked[0][-1] == tokenizer.eot_id else "length")


def test_more_beams_find_what_is_more_probable():
    model = lively("transformer", BYTES.vocab_size)
    greedy, wide = (
        generate(model, BYTES, ["ab"], SamplingConfig(temperature=0.0, beams=beams, max_new_tokens=6))
        if beams > 1
        else generate(model, BYTES, ["ab"], SamplingConfig(temperature=0.0, max_new_tokens=6), log_probabilities=True)
        for beams in (1, 8)
    )
    assert sum(wide[0].log_probabilities) > sum(greedy[0].log_probabilities)


def test_stop_texts_end_beams_and_the_window_ends_the_search():
    model = lively("transformer", BYTES.vocab_size)
    plain = SamplingConfig(temperature=0.0, beams=3, n=3, max_new_tokens=30)
    texts = search(ModelDecoder(model), BYTES, "abcd", plain)
    assert all(len(completion.ids) == 16 - 4 + 1 for completion in texts)
    letter = texts[0].text[1]
    stopped = SamplingConfig(temperature=0.0, beams=3, n=3, max_new_tokens=12, stop=[letter])
    for completion in search(ModelDecoder(model), BYTES, "abcd", stopped):
        assert letter not in completion.text
    with pytest.raises(ConfigError, match="the prompt has 17 tokens and the model reads 16"):
        search(ModelDecoder(model), BYTES, "x" * 17, plain)
    assert search(ModelDecoder(model), BYTES, "y" + "x" * 16, plain, context=Context.slide)
