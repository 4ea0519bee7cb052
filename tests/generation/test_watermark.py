"""The watermark: found where it was put in, not found elsewhere, by every way of writing, and gone without a key."""

import math

import pytest
import torch

from prospero.errors import ConfigError
from prospero.generation.chat_commands import changed, vars_of
from prospero.generation.decoder import ModelDecoder
from prospero.generation.engine import Engine
from prospero.generation.generate import generate
from prospero.generation.sampling import SamplingConfig, choose, generator_of
from prospero.generation.watermark import Detection, WatermarkConfig, detect, green, mark
from tests.generation.presets import TOKENIZER, tiny

OURS = WatermarkConfig(key="between us")
THEIRS = WatermarkConfig(key="another's")


def all_pairs(watermark: WatermarkConfig, vocab_size: int = 500) -> torch.Tensor:
    tokens = torch.arange(vocab_size)
    return green(tokens.unsqueeze(1), tokens, watermark)


@pytest.mark.parametrize("gamma", [0.1, 0.25, 0.5])
def test_a_share_gamma_is_green_after_each_token_and_another_share_after_another(gamma):
    found = all_pairs(WatermarkConfig(key="k", gamma=gamma)).double()
    deviation = math.sqrt(gamma * (1 - gamma) / 500)
    assert abs(float(found.mean()) - gamma) < 4 * deviation / math.sqrt(500)
    for shares in (found.mean(dim=0), found.mean(dim=1)):
        assert float((shares - gamma).abs().max()) < 4.5 * deviation
    together = (found[1:] * found[:-1]).mean()  # after neighbouring tokens, as after any
    assert float(together) == pytest.approx(gamma**2, abs=0.01)


def test_keys_are_independent_and_colours_are_the_same_for_ever():
    ours, theirs = all_pairs(OURS), all_pairs(THEIRS)
    assert float((ours & theirs).double().mean()) == pytest.approx(1 / 16, abs=0.004)
    assert green(torch.tensor(3), torch.arange(12), OURS).tolist() == [bool(c) for c in KNOWN]


KNOWN = [1, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 0]
"""Written down so that a text marked today is found by the program of tomorrow."""


def test_marks_are_added_to_green_logits_by_the_last_token_of_each_row():
    logits = torch.zeros(2, 50)
    found = mark(logits, OURS, [[9, 4], [4, 7]])
    for row, before in enumerate((4, 7)):
        expected = green(torch.tensor(before), torch.arange(50), OURS)
        assert torch.equal(found[row], expected * 2.0) and 0 < int(expected.sum()) < 50
    assert logits.abs().sum() == 0


def test_the_score_by_hand():
    assert Detection(100, 40, 0.25).z == pytest.approx(15 / math.sqrt(18.75))
    assert Detection(100, 25, 0.25).z == 0 and Detection(100, 25, 0.25).p == 0.5
    assert math.isnan(Detection(0, 0, 0.25).z)
    assert detect([1, 2, 1, 2, 1, 2, 3], OURS).pairs == 3


def written(sampling: SamplingConfig, prompts: list[str]) -> list[list[int]]:
    return [one.ids for one in generate(tiny("tiny"), TOKENIZER, prompts, sampling, batch_size=3)]


WAYS = {
    "drawn": SamplingConfig(temperature=1.0, top_p=1.0, max_new_tokens=120),
    "cut off": SamplingConfig(temperature=0.8, top_k=100, max_new_tokens=120),
    "greedy": SamplingConfig(temperature=0.0, no_repeat_ngram=2, max_new_tokens=120),
    "beams": SamplingConfig(temperature=0.0, beams=2, no_repeat_ngram=2, max_new_tokens=48),
}


@pytest.mark.parametrize("way", WAYS)
def test_it_is_found_in_every_row_and_not_without_the_key(way):
    plain = WAYS[way]
    marked = SamplingConfig(**{**{n: getattr(plain, n) for n in plain.__slots__}, "watermark": OURS})
    prompts = ["The import"] if way == "beams" else ["x", "no"]
    for ids, untouched in zip(written(marked, prompts), written(plain, prompts), strict=True):
        assert (
            len(ids) >= (20 if way == "beams" else 90)
            and detect(ids, OURS).z > (4 if way == "beams" else 6)
            and detect(ids, OURS).p < 1e-4
        )
        assert detect(ids, THEIRS).z < 3 and detect(untouched, OURS).z < 3


def test_over_keys_the_score_of_a_plain_text_is_a_standard_normal():
    [ids] = written(WAYS["drawn"], ["The import"])
    scores = torch.tensor([detect(ids, WatermarkConfig(key=f"key {n}")).z for n in range(400)])
    assert float(scores.mean()) == pytest.approx(0, abs=0.15) and float(scores.std()) == pytest.approx(1, abs=0.12)


def test_rows_of_one_batch_may_differ():
    engine = Engine(ModelDecoder(tiny("tiny")), TOKENIZER, max_rows=2)
    for watermark in (OURS, WatermarkConfig()):
        engine.add("x", SamplingConfig(temperature=1.0, top_p=1.0, max_new_tokens=120, watermark=watermark))
    ended = {}
    while not engine.idle:
        ended |= {event.row: event.completion.ids for event in engine.step() if event.completion is not None}
    assert detect(ended[0], OURS).z > 6 and detect(ended[1], OURS).z < 3


def test_without_a_key_nothing_is_computed(monkeypatch):
    def fail(*_):
        raise AssertionError("a colour was asked for")

    monkeypatch.setattr("prospero.generation.watermark.green", fail)
    logits, generators = torch.randn(2, 9), [generator_of(1, 0), generator_of(1, 1)]
    choose(logits, SamplingConfig(), generators, [[1], [2]])
    with pytest.raises(AssertionError):
        choose(logits, SamplingConfig(watermark=OURS), generators, [[1], [2]])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"key": ""}, "watermark.key= is empty"),
        ({"key": "<redacted>"}, "never written down; give it again"),
        ({"gamma": 1.0}, "between 0 and 1"),
        ({"delta": 0.0}, "must be above 0"),
    ],
)
def test_what_cannot_be_is_refused(wrong, said):
    with pytest.raises(ConfigError, match=said):
        WatermarkConfig(**wrong)
    with pytest.raises(ConfigError, match="not given"):
        detect([1, 2], WatermarkConfig())


def test_a_chat_sets_it_and_does_not_show_the_key():
    found = changed(SamplingConfig(), ["watermark.key=between_us", "sampling.watermark.delta=3"])
    assert found.watermark == WatermarkConfig(key="between_us", delta=3.0)
    assert vars_of(found)["watermark.key"] == "<redacted>" and vars_of(found)["watermark.delta"] == 3.0
    assert vars_of(SamplingConfig())["watermark.key"] is None
