"""Stages are timed and told, with bars or without."""

import logging

import pytest

from prospero.data.progress import StageClock


@pytest.mark.parametrize("bars", [False, True])
def test_each_stage_is_timed_and_told(bars, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("prospero"), "propagate", True)
    clock = StageClock(bars)
    with caplog.at_level("INFO", "prospero"):
        with clock.stage("clean", 3_000_000) as advance:
            advance(1_000_000)
            advance(2_000_000)
        with clock.stage("train tokenizer"):
            pass
    assert list(clock.seconds) == ["clean", "train tokenizer"]
    assert "3.0 MB" in caplog.messages[0] and "MB" not in caplog.messages[1]


def test_no_bars_where_there_is_no_terminal(capsys):
    assert StageClock().bars is False
