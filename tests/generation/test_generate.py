import pytest
import torch

from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.generation.cache import Continuation
from prospero.generation.generate import generate, stream
from prospero.generation.sampling import SamplingConfig
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


def test_a_batch_writes_what_each_prompt_writes_alone(model: LanguageModel, tokenizer: Tokenizer) -> None:
    sampling = SamplingConfig(max_new_tokens=40, top_k=20, repetition_penalty=1.3)
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
    assert generate(model, tokenizer, [long], sampling) == generate(model, tokenizer, [long[-SEQ_LEN:]], sampling)


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


def test_rows_grow_and_slide(tokenizer: Tokenizer) -> None:
    model = CONFIGS["learned"].build(tokenizer.vocab_size, 8).eval()
    continuation = Continuation(model, [[1, 2, 3], [4]])
    for step in range(9):
        continuation.append(torch.tensor([step, step]))
    assert continuation.rows == [[1, 2, 3, *range(9)], [4, *range(9)]]
    assert continuation.cache.length <= 8
    with pytest.raises(ValueError, match="at least one token"):
        Continuation(model, [[1], []])
