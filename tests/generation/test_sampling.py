import dataclasses
import math
import random

import pytest
import torch

from prospero.errors import ConfigError
from prospero.generation.sampling import (
    SamplingConfig,
    choose,
    draw,
    ends_of_repeats,
    generator_of,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalise_repetition,
    rules_of,
)
from prospero.generation.watermark import WatermarkConfig

INF = float("inf")


def generators(count: int, seed: int = 0) -> list[random.Random]:
    return [generator_of(seed, index) for index in range(count)]


def test_top_k_keeps_the_largest() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0, 0.0], [5.0, 5.0, 5.0, 1.0]])
    assert keep_top_k(logits, 2).tolist() == [[-INF, 3, 2, -INF], [5, 5, 5, -INF]]
    assert torch.equal(keep_top_k(logits, 9), logits)


@pytest.mark.parametrize(
    ("p", "kept"), [(0.4, [True, False, False, False]), (0.5, [True, False, False, False]),
                    (0.6, [True, False, True, False]), (0.9, [True, False, True, True]), (1.0, [True] * 4)],
)  # fmt: skip
def test_top_p_keeps_the_fewest_that_hold_p(p: float, kept: list[bool]) -> None:
    logits = torch.tensor([[0.5, 0.0625, 0.25, 0.1875]]).log()
    assert (keep_top_p(logits, p) > -INF)[0].tolist() == kept


def test_repetition_penalty_pushes_both_signs_down() -> None:
    logits, seen = torch.tensor([[2.0, -2.0, 2.0]]), torch.tensor([[True, True, False]])
    assert penalise_repetition(logits, seen, 4.0).tolist() == [[0.5, -8, 2]]


def test_draw_follows_the_cumulated_probabilities() -> None:
    probabilities = torch.tensor([[0.0, 0.25, 0.0, 0.75, 0.0]]).expand(4, -1)
    assert draw(probabilities, torch.tensor([0.0, 0.2499, 0.25, 1 - 2**-24])).tolist() == [1, 1, 3, 3]


def test_temperature_zero_is_greedy_and_draws_nothing() -> None:
    [generator] = generators(1)
    before = generator.getstate()
    logits = torch.tensor([[0.0, 2.0, 1.0]])
    assert choose(logits, SamplingConfig(temperature=0.0), [generator], [[0]]).tolist() == [1]
    assert generator.getstate() == before


def test_frequencies_are_those_of_the_tempered_softmax() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0]])
    sampling, [generator] = SamplingConfig(temperature=2.0, top_p=1.0), generators(1)
    drawn = torch.tensor([choose(logits, sampling, [generator], [[0]]).item() for _ in range(4000)])
    frequencies = drawn.bincount(minlength=3) / 4000
    total = 1 + math.exp(0.5) + math.e
    expected = torch.tensor([1 / total, math.exp(0.5) / total, math.e / total])
    torch.testing.assert_close(frequencies, expected, atol=0.03, rtol=0)


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    logits, sampling = torch.randn(3, 50), SamplingConfig()
    together = choose(logits, sampling, generators(3), [[0], [1], [2]])
    alone = choose(logits[2:], sampling, generators(3)[2:], [[2]])
    assert together[2] == alone[0]


def test_min_p_keeps_what_is_near_the_first() -> None:
    logits = torch.tensor([[0.5, 0.25, 0.124, 0.126], [0.1, 0.2, 0.3, 0.4]]).log()
    assert (keep_min_p(logits, 0.25) > -INF).tolist() == [[True, True, False, True], [True, True, True, True]]
    assert keep_min_p(logits, 0.0) is logits
    sampling = SamplingConfig(min_p=0.25, top_p=1.0, temperature=1.0)
    drawn = {choose(logits, sampling, generators(2, seed), [[0], [0]])[0].item() for seed in range(60)}
    assert drawn == {0, 1, 3}


def test_what_would_repeat_a_run() -> None:
    ids = [1, 2, 3, 1, 2, 4, 1, 2]
    assert ends_of_repeats(ids, 3) == [3, 4]
    assert ends_of_repeats(ids, 4) == []
    assert ends_of_repeats(ids, 1) == ids
    assert ends_of_repeats([1], 3) == []


def test_no_run_of_tokens_comes_twice() -> None:
    logits, sampling = torch.tensor([[0.0, 3.0, 1.0, 2.0]]), SamplingConfig(temperature=0.0, no_repeat_ngram=2)
    ids = [1]
    for _ in range(7):
        ids.append(int(choose(logits, sampling, generators(1), [ids])))
    assert ids == [1, 1, 3, 1, 2, 1, 0, 1]
    everything = SamplingConfig(temperature=0.0, no_repeat_ngram=1)
    assert choose(logits, everything, generators(1), [[0, 1, 2, 3]]).tolist() == [1]  # nothing left: the most probable
    assert logits.tolist() == [[0, 3, 1, 2]]


def test_texts_of_other_seeds_rows_and_samples_are_others() -> None:
    numbers = {generator_of(*key).random() for key in [(1, 0, 0), (2, 0, 0), (1, 1, 0), (1, 0, 1), (1 + 2**32, 0, 0)]}
    assert len(numbers) == 5
    assert generator_of(1, 2, 3).random() == generator_of(1, 2, 3).random()


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": -0.1},
        {"top_k": 0},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"repetition_penalty": 0.0},
        {"max_new_tokens": 0},
        {"stop": [""]},
        {"min_p": 1.1},
        {"no_repeat_ngram": 0},
        {"n": 0},
        {"beams": 0},
        {"beams": 2},
        {"length_penalty": 2.0},
        {"length_penalty": INF, "beams": 2, "temperature": 0.0},
        {"n": 3, "beams": 2, "temperature": 0.0},
    ],
)
def test_impossible_settings(settings: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        SamplingConfig(**settings)


def test_rules_differ_with_whatever_choosing_reads_and_with_nothing_else() -> None:
    """A setting that is new must be named here, and in `rules_of` where `choose` reads it."""
    others = {
        "temperature": 0.0, "top_k": 3, "top_p": 0.5, "min_p": 0.5, "repetition_penalty": 2.0, "no_repeat_ngram": 2,
        "watermark": WatermarkConfig(key="a"),
    }  # fmt: skip
    apart = {"n", "beams", "length_penalty", "max_new_tokens", "stop", "seed"}
    assert {field.name for field in dataclasses.fields(SamplingConfig)} == {*others, *apart}
    plain = SamplingConfig()
    changed = [dataclasses.replace(plain, **{name: value}) for name, value in others.items()]
    assert len({rules_of(sampling) for sampling in (plain, *changed)}) == len(others) + 1
    marks = [WatermarkConfig(), *(WatermarkConfig(key=k, gamma=g, delta=d) for k, g, d in MARKS)]
    assert len({rules_of(SamplingConfig(watermark=mark)) for mark in marks}) == len(marks)
    assert rules_of(SamplingConfig(n=2, seed=9, max_new_tokens=3, stop=["x"])) == rules_of(plain)


MARKS = [("a", 0.5, 1.0), ("b", 0.5, 1.0), ("a", 0.25, 1.0), ("a", 0.5, 2.0)]
