import math

import pytest
import torch

from prospero.errors import ConfigError
from prospero.generation.sampling import SamplingConfig, choose, draw, keep_top_k, keep_top_p, penalise_repetition

INF = float("inf")


def generators(count: int, seed: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed + index) for index in range(count)]


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
    generator = torch.Generator().manual_seed(3)
    before = generator.get_state()
    logits = torch.tensor([[0.0, 2.0, 1.0]])
    assert choose(logits, SamplingConfig(temperature=0.0), [generator]).tolist() == [1]
    assert torch.equal(generator.get_state(), before)


def test_frequencies_are_those_of_the_tempered_softmax() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0]])
    sampling, [generator] = SamplingConfig(temperature=2.0, top_p=1.0), generators(1)
    drawn = torch.tensor([choose(logits, sampling, [generator]).item() for _ in range(4000)])
    frequencies = drawn.bincount(minlength=3) / 4000
    total = 1 + math.exp(0.5) + math.e
    expected = torch.tensor([1 / total, math.exp(0.5) / total, math.e / total])
    torch.testing.assert_close(frequencies, expected, atol=0.03, rtol=0)


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    logits, sampling = torch.randn(3, 50), SamplingConfig()
    together = choose(logits, sampling, generators(3))
    alone = choose(logits[2:], sampling, generators(3)[2:])
    assert together[2] == alone[0]


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
    ],
)
def test_impossible_settings(settings: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        SamplingConfig(**settings)
