"""The batch against the noise scale."""

from typing import Any

import pytest

from prospero.runs.doctor.batch import batch_too_large, batch_too_small, noise_of_rows
from prospero.runs.doctor.finding import CannotJudge
from prospero.runs.doctor.probe import NoiseScale
from tests.runs.doctor.records import course, probe, record


def of_noise(scale: float, **changes: Any):
    return record(probe=probe(noise=NoiseScale(signal=1.0, noise=scale, sequences=64)), **changes)


def test_between_the_bounds_nothing_is_said():
    assert batch_too_small(of_noise(100.0)) is None
    assert batch_too_large(of_noise(100.0)) is None


def test_a_batch_of_one():
    one = {"settings": {"global_batch_size": 1}}
    found = batch_too_small(of_noise(234.0, **one))
    assert found is not None and found.number == 234 and "global_batch_size to 16" in found.advice
    assert batch_too_small(of_noise(99.0, **one)) is None
    hidden = record(probe=probe(noise=NoiseScale(signal=-0.1, noise=5.0, sequences=64)), **one)
    found = batch_too_small(hidden)
    assert found is not None and found.number == 640  # what 64 sequences can tell


def test_what_the_sequences_read_cannot_tell_is_not_claimed():
    assert batch_too_small(of_noise(1e9, settings={"global_batch_size": 7})) is None


def test_a_batch_of_too_many():
    found = batch_too_large(of_noise(2.0, settings={"global_batch_size": 512}))
    assert found is not None and found.number == 256 and "global_batch_size=8" in found.advice
    assert batch_too_large(of_noise(2.0, settings={"global_batch_size": 99})) is None


def test_few_sequences_over_and_over_have_no_noise_to_see():
    with pytest.raises(CannotJudge, match="train_sequences=4 are too few"):
        batch_too_small(of_noise(100.0, settings={"train_sequences": 4}))
    with pytest.raises(CannotJudge, match="not opened"):
        batch_too_small(record())


def test_rows_of_micro_batches_give_the_noise_scale_without_a_probe():
    """E|G_b|^2 = |G|^2 + tr(S) / b with |G|^2 = 4 and tr(S) = 48: 16 at b = 4, 7 at b = 16."""
    series = {"train/micro_grad_norm": course(16**0.5), "train/grad_norm": course(7**0.5)}
    run = record(series=series, settings={"micro_batch_size": 4})
    found = noise_of_rows(run)
    assert found is not None
    assert found.signal == pytest.approx(4) and found.noise == pytest.approx(48)
    assert found.sequences_of_equal_noise == pytest.approx(12)
    assert noise_of_rows(record(series=series)) is None
    assert batch_too_small(run) is None
