"""Does a run fit the machine: one thing wrong at a time."""

from dataclasses import replace

import pytest

from prospero.planning.fit import expected_tokens_per_second, fit_findings
from prospero.planning.needs import Needs
from tests.planning.test_machine import CARD, GB, MACHINE

NEEDS = Needs(
    parameters=10**8, flops_per_token=6e8, weight_bytes=4 * GB, state_bytes=4 * GB, activation_bytes=1 * GB,
    tokens=10**9,
)  # fmt: skip


def rules(machine=MACHINE, needs=NEEDS, **changes):
    facts = {"on_gpu": False, "devices": 1, "sharded": False, "workers": 0, "tokens_per_second": 1e5, **changes}
    return [(found.rule, found.number) for found in fit_findings(machine, needs, **facts)]


def test_what_fits():
    assert rules() == []
    assert rules(replace(MACHINE, gpus=[CARD], nccl="2.27"), on_gpu=True, workers=2) == []


def test_memory_counts_what_is_sharded():
    large = replace(NEEDS, weight_bytes=8 * GB)
    assert rules(needs=large) == [("memory", 13.0)]
    cards = replace(MACHINE, gpus=[replace(CARD, free_bytes=10 * GB)] * 2, nccl="2.27")
    assert rules(cards, large, on_gpu=True, devices=2) == [("memory", 13.0)]
    assert rules(cards, large, on_gpu=True, devices=2, sharded=True) == []  # 12 / 2 + 1 = 7


@pytest.mark.parametrize(
    ("machine", "changes", "expected"),
    [
        ({"disk_free_bytes": 17 * GB}, {}, ("disk", 18.0)),
        ({"write_bytes_per_second": 2e7}, {}, ("disk_speed", pytest.approx(322, abs=1))),
        ({"write_bytes_per_second": 0.0}, {}, ("disk_speed", 0.0)),
        ({"load": 4.0}, {}, ("busy", 4.0)),
        ({"threads": 1}, {}, ("threads", 1.0)),
        ({"shared_bytes": GB // 2}, {"workers": 2}, ("shared_memory", 0.5)),
        ({"gpus": [CARD, CARD]}, {"on_gpu": True, "devices": 2}, ("nccl", 0.0)),
        ({}, {"tokens_per_second": 100.0}, ("time", pytest.approx(115.7, abs=0.1))),
    ],
)
def test_one_thing_wrong(machine, changes, expected):
    assert rules(replace(MACHINE, **machine), **changes) == [expected]


def test_the_usual_speed_is_a_share_of_the_products():
    assert expected_tokens_per_second(MACHINE, NEEDS, on_gpu=False, devices=1) == pytest.approx(0.35 * 1e11 / 6e8)
    cards = replace(MACHINE, gpus=[CARD])
    assert expected_tokens_per_second(cards, NEEDS, on_gpu=True, devices=4) == pytest.approx(4 * 0.35 * 6e14 / 6e8)
