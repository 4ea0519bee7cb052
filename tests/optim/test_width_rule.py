"""Rates that follow the width: the published ones come out, a given one stays, and what has no width is refused."""

import logging

import pytest
from torch import nn

from prospero.errors import ConfigError
from prospero.optim.adafactor import AdafactorConfig
from prospero.optim.adam import AdamConfig
from prospero.optim.adamw import AdamWConfig
from prospero.optim.lion import LionConfig
from prospero.optim.muon import MuonConfig
from prospero.optim.schedule_free import ScheduleFreeConfig
from prospero.optim.width_rule import ADAM_RATE, REST_RATE, rate_of_width
from tests.objective.fakes import TinyModel


class Width(TinyModel):
    def __init__(self, d_model: int) -> None:
        super().__init__(5, 4)
        self.d_model = d_model


@pytest.mark.parametrize(
    ("width", "gpt3"), [(768, 6e-4), (1024, 3e-4), (1536, 2.5e-4), (2048, 2e-4), (2560, 1.6e-4), (4096, 1.2e-4)]
)
def test_adams_rule_is_within_half_of_gpt3s_table(width, gpt3):
    assert gpt3 / 1.5 <= rate_of_width("lr", None, Width(width), ADAM_RATE) <= gpt3 * 1.5


def test_the_rates_of_widths():
    assert rate_of_width("lr", None, Width(1536), ADAM_RATE) == pytest.approx(3e-4)
    assert rate_of_width("lr", None, Width(192), ADAM_RATE) == pytest.approx(2.4e-3)
    assert rate_of_width("lr", None, Width(64), ADAM_RATE) == pytest.approx(2.4e-3), "not further up"
    assert rate_of_width("adamw_lr", None, Width(192), REST_RATE, power=0.5) == pytest.approx(6e-3)
    assert rate_of_width("adamw_lr", None, Width(3072), REST_RATE, power=0.5) == pytest.approx(1.5e-3)


def test_a_rate_that_is_given_stays_and_nothing_is_said(caplog):
    with caplog.at_level(logging.INFO, "prospero"):
        assert rate_of_width("lr", 0.5, nn.Linear(2, 2), ADAM_RATE) == 0.5
        assert rate_of_width("lr", 0.0, Width(768), ADAM_RATE) == 0.0
    assert not caplog.records


@pytest.mark.parametrize(
    ("config", "setting", "group", "rate"),
    [
        (AdamWConfig(), "lr", "decay", 3e-4),
        (AdamConfig(), "lr", "no_decay", 3e-4),
        (LionConfig(), "lr", "decay", 1e-4),
        (ScheduleFreeConfig(), "lr", "decay", 6e-4),
        (AdafactorConfig(), "lr", "decay", 0.0125),
        (MuonConfig(), "adamw_lr", "no_decay", 3e-3 / 2**0.5),
    ],
)
def test_an_optimizer_takes_its_rate_from_the_model_and_says_so(config, setting, group, rate, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("prospero"), "propagate", True)
    with caplog.at_level(logging.INFO, "prospero"):
        optimizer = config.build(Width(1536))
    found = {g["name"]: g["lr"] for g in optimizer.param_groups}
    assert found[group] == pytest.approx(rate)
    assert f"optimizer.{setting}={rate:.3g}, for a width of 1536" in caplog.text
    given = type(config)(**{setting: 0.25}).build(Width(1536))
    assert {g["name"]: g["lr"] for g in given.param_groups}[group] == 0.25


def test_what_has_no_width_must_be_given_a_rate():
    with pytest.raises(ConfigError, match=r"Linear is not; give optimizer.lr=<rate>"):
        AdamWConfig().build(nn.Linear(3, 3))
    assert AdamWConfig(lr=0.1).build(nn.Linear(3, 3)).param_groups[0]["lr"] == 0.1
