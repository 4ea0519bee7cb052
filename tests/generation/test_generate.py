import pytest
import torch

from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.errors import ConfigError
from prospero.generation.generate import generate, score, stream
from prospero.generation.sampling import SamplingConfig
from prospero.generation.settings import Context
from prospero.model.base import LanguageModel
from prospero.model.layers.lookback import Lookback
from prospero.model.rnn import RNN, LSTMConfig
from prospero.model.transformer import Position, TransformerConfig

SEQ_LEN = 24
CONFIGS = {
    "transformer": TransformerConfig(n_layers=2, d_model=32, n_heads=2, lookback=Lookback.shift, dropout=0.5),
    "learned": TransformerConfig(n_layers=2, d_model=32, n_heads=2, position=Position.learned),
    "lstm": LSTMConfig(d_model=32, dropout=0.5),
}
PROMPTS = ["The import statement", "é", "", "def f(x):"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return ByteTokenizerConfig().build(lambda: iter([]))


@pytest.fixture(params=CONFIGS)
def model(request: pytest.FixtureRequest, tokenizer: Tokenizer) -> LanguageModel:
    torch.manual_seed(0)
    model = CONFIGS[request.param].build(
        tokenizer.vocab_size + 7, SEQ_LEN
    )  # a vocabulary padded beyond the tokenizer's
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    return model


def reference(model: LanguageModel, tokenizer: Tokenizer, prompt: str, count: int) -> list[int]:
    """Greedy continuation without any cache; from `SEQ_LEN` on, as the sliding window is documented."""
    ids = tokenizer.encode(prompt) or [tokenizer.eot_id]
    start = 0
    for _ in range(count):
        if len(ids) - start > SEQ_LEN and not isinstance(model, RNN):
            start = len(ids) - SEQ_LEN // 2
        with torch.no_grad():
            logits = model.eval()(torch.tensor([ids[start:]])).logits[0, -1, : tokenizer.vocab_size]
        ids.append(int(logits.argmax()))
    return ids[-count:]


@pytest.mark.heavy
def test_greedy_equals_decoding_without_a_cache_even_beyond_the_window(
    model: LanguageModel, tokenizer: Tokenizer
) -> None:
    sampling = SamplingConfig(temperature=0.0, max_new_tokens=60)
    for prompt in PROMPTS:
        [completion] = generate(model, tokenizer, [prompt], sampling)
        expected = reference(model, tokenizer, prompt, 60)
        if tokenizer.eot_id in expected:
            expected = expected[: expected.index(tokenizer.eot_id)]
        assert completion.ids == expected


@pytest.mark.heavy
def test_a_batch_writes_what_each_prompt_writes_alone(model: LanguageModel, tokenizer: Tokenizer) -> None:
    sampling = SamplingConfig(max_new_tokens=40, top_k=20, repetition_penalty=1.3, no_repeat_ngram=4)
    together = generate(model, tokenizer, PROMPTS, sampling)
    assert together == generate(model, tokenizer, PROMPTS, sampling, batch_size=3)
    assert together != generate(model, tokenizer, PROMPTS, SamplingConfig(max_new_tokens=15, seed=2))
    assert "".join(stream(model, tokenizer, PROMPTS[0], sampling)) == together[0].text


def test_global_random_state_and_mode_stay(model: LanguageModel, tokenizer: Tokenizer) -> None:
    state = torch.get_rng_state()
    model.train()
    generate(model, tokenizer, ["a"], SamplingConfig(max_new_tokens=4))
    assert torch.equal(state, torch.get_rng_state())
    assert model.training


def test_a_prompt_longer_than_the_window_counts_by_its_end(tokenizer: Tokenizer) -> None:
    torch.manual_seed(0)
    model = CONFIGS["transformer"].build(tokenizer.vocab_size, SEQ_LEN)
    sampling = SamplingConfig(temperature=0.0, max_new_tokens=1)
    long = "x" * 100 + "y" * (SEQ_LEN - 1) + "z"
    end = generate(model, tokenizer, [long[-SEQ_LEN:]], sampling)
    assert generate(model, tokenizer, [long], sampling, context=Context.slide) == end
    with pytest.raises(
        ConfigError, match="the prompt has 124 tokens and the model reads 24 at once; shorten it by 100"
    ):
        generate(model, tokenizer, ["ok", long], sampling)
    recurrent = CONFIGS["lstm"].build(tokenizer.vocab_size, SEQ_LEN)
    assert len(generate(recurrent, tokenizer, [long], sampling)) == 1


def test_several_texts_of_a_prompt(model: LanguageModel, tokenizer: Tokenizer) -> None:
    """The first of four is that of one; they stand beside each other, whatever ends first."""
    four = generate(model, tokenizer, PROMPTS, SamplingConfig(max_new_tokens=12, n=4), batch_size=6)
    assert four[::4] == generate(model, tokenizer, PROMPTS, SamplingConfig(max_new_tokens=12))
    assert len({completion.text for completion in four[:4]}) == 4
    second = "".join(stream(model, tokenizer, PROMPTS[0], SamplingConfig(max_new_tokens=12, n=4), sample=1))
    assert second == four[1].text


def full_log_probabilities(model: LanguageModel, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        logits = model.eval()(torch.tensor([ids[:-1]])).logits[0].double()
    return logits.log_softmax(-1).gather(1, torch.tensor(ids[1:]).unsqueeze(1)).squeeze(1)


def test_log_probabilities_are_those_of_the_full_forward(model: LanguageModel, tokenizer: Tokenizer) -> None:
    sampling = SamplingConfig(max_new_tokens=10, repetition_penalty=2.0)
    prompts = ["ab", "a longer one"]
    assert not generate(model, tokenizer, prompts, sampling)[0].log_probabilities
    for prompt, completion in zip(prompts, generate(model, tokenizer, prompts, sampling, log_probabilities=True)):
        ids = [*tokenizer.encode(prompt), *completion.ids]
        expected = full_log_probabilities(model, ids)[-len(completion.ids) :]
        torch.testing.assert_close(torch.tensor(completion.log_probabilities).double(), expected, atol=1e-5, rtol=0)


def test_a_given_text_is_scored(model: LanguageModel, tokenizer: Tokenizer) -> None:
    scored = score(model, tokenizer, "some text")
    expected = full_log_probabilities(model, [tokenizer.eot_id, *tokenizer.encode("some text")])
    assert scored.ids == tokenizer.encode("some text")
    torch.testing.assert_close(torch.tensor(scored.log_probabilities).double(), expected, atol=1e-5, rtol=0)
    assert score(model, tokenizer, "").log_probabilities == []


def test_a_text_longer_than_the_window_is_scored_with_half_a_window_behind_each_token(tokenizer: Tokenizer) -> None:
    torch.manual_seed(0)
    model = CONFIGS["learned"].build(tokenizer.vocab_size, SEQ_LEN).eval()
    text = "0123456789" * 6
    ids = [tokenizer.eot_id, *tokenizer.encode(text)]
    scored = score(model, tokenizer, text)
    assert len(scored.log_probabilities) == 60
    expected = full_log_probabilities(model, ids[:24]).tolist()
    for start, stop in ((12, 36), (24, 48), (36, 60), (48, 61)):
        expected += full_log_probabilities(model, ids[start:stop]).tolist()[11:]
    assert scored.log_probabilities == pytest.approx(expected, abs=1e-5)


def test_a_text_begins_with_the_tokenizers_bos(model: LanguageModel, tokenizer: Tokenizer) -> None:
    begun = Tokenizer(tokenizer.inner, tokenizer.eot_token, bos=tokenizer.eot_token)
    sampling = SamplingConfig(max_new_tokens=5, temperature=0.0)
    [completion] = generate(model, begun, ["ab"], sampling)
    expected = [tokenizer.eot_id, *tokenizer.encode("ab")]
    with torch.no_grad():
        first = model.eval()(torch.tensor([expected])).logits[0, -1, : tokenizer.vocab_size].argmax()
    assert completion.ids[0] == first
    assert generate(model, begun, [""], sampling) == generate(model, tokenizer, [""], sampling)


class Script(LanguageModel):
    """Writes a given text and then the separator, whatever the prompt."""

    def __init__(self, text: str, tokenizer: Tokenizer) -> None:
        super().__init__(tokenizer.vocab_size, 1000, tokenizer.vocab_size)
        self.script = [*tokenizer.encode(text), tokenizer.eot_id]
        self.inner = LSTMConfig(d_model=8).build(tokenizer.vocab_size, 1000)

    def forward(self, input_ids, *, document_ids=None, cache=None, logits=True):  # type: ignore[override]
        output = self.inner(input_ids, cache=cache)
        place = min(cache.length - 1, len(self.script) - 1)
        output.hidden = torch.nn.functional.one_hot(torch.full_like(input_ids, self.script[place]), self.vocab_size)
        output.hidden = output.hidden.float() * 50
        output.logits = output.hidden
        return output

    def project(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden

    def new_cache(self, batch_size: int, max_len: int) -> object:
        return self.inner.new_cache(batch_size, max_len)


def written(text: str, tokenizer: Tokenizer, stop: list[str], length: int = 100) -> tuple[str, str, list[str]]:
    model, sampling = Script(text, tokenizer), SamplingConfig(stop=stop, max_new_tokens=length)
    [completion] = generate(model, tokenizer, ["?"], sampling)
    pieces = list(stream(model, tokenizer, "?", sampling))
    assert "".join(pieces) == completion.text
    return completion.text, completion.ended_by, pieces


def test_the_separator_ends_a_text(tokenizer: Tokenizer) -> None:
    assert written("héllo", tokenizer, []) == ("héllo", "separator", ["h", "é", "l", "l", "o"])


def test_length_ends_a_text_in_the_middle_of_a_character(tokenizer: Tokenizer) -> None:
    assert written("aé", tokenizer, [], length=2) == ("a\ufffd", "length", ["a", "\ufffd"])


def test_stop_texts_are_held_back_until_ruled_out(tokenizer: Tokenizer) -> None:
    assert written("a##b\n##\nc", tokenizer, ["\n##\n"]) == ("a##b", "stop", ["a", "#", "#", "b"])
    assert written("ab\n#c", tokenizer, ["\n##"])[2] == ["a", "b", "\n#c"]
    assert written("ab\n#", tokenizer, ["\n##"])[:2] == ("ab\n#", "separator")
