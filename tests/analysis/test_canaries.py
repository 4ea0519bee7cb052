"""Canaries: exposure by hand, and of secrets that a tiny model has or has not seen."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from prospero.analysis.canaries import CanariesAnalysisConfig, exposure_by_rank, fitted_exposure
from prospero.data.prepare import prepare
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.errors import ConfigError, DataError
from prospero.evaluation.measurement import Subject
from prospero.generation.decoder import ModelDecoder
from prospero.model.transformer import TransformerConfig
from tests.analysis.memorising import SEQ_LEN, data, facts, subject
from tests.data.shard_making import sentences, settings, write_corpus


def test_exposure_by_rank_by_hand():
    references = np.array([3.0, 1.0, 2.0, 4.0, 5.0, 6.0, 7.0])
    assert exposure_by_rank(0.5, references) == 3  # the first of eight
    assert exposure_by_rank(1.5, references) == 2  # the second
    assert exposure_by_rank(9.0, references) == 0  # the last
    assert exposure_by_rank(1.0, references) == pytest.approx(math.log2(8 / 1.5))


def test_the_fit_agrees_with_the_distribution_it_was_drawn_from_and_goes_on_beyond_the_references():
    drawn = stats.skewnorm(3, 20, 2).rvs(4000, random_state=1)
    true = stats.skewnorm(3, 20, 2)
    middle = float(true.ppf(0.25))
    assert fitted_exposure([middle], drawn, 99)[0] == pytest.approx(2, abs=0.15)
    assert fitted_exposure([19.0, 10.0], drawn, 99)[0] > 2
    assert fitted_exposure([10.0], drawn, 99) == [99]


def test_planted_secrets_are_exposed_and_controls_are_not():
    found = CanariesAnalysisConfig(references=300).build("canaries", facts())(subject())
    for ending in ("", "_fitted"):
        assert found.value(f"planted{ending}") > 6 and found.value(f"control{ending}") < 3
    assert found.scores("planted")[:4].min() > 6
    assert len(found.outcomes) == 8 and found.measurement.tables(found)[0].rows[0][1] == "planted"


def test_a_model_that_has_not_seen_them_exposes_neither():
    torch.manual_seed(1)
    fresh = TransformerConfig(n_layers=2, d_model=64, n_heads=2).build(data().tokenizer.vocab_size, SEQ_LEN).eval()
    untrained = Subject(decoder=ModelDecoder(fresh), tokenizer=data().tokenizer, name="fresh", rows=64)
    found = CanariesAnalysisConfig(references=200).build("canaries", facts())(untrained)
    assert found.value("planted") < 3.5 and found.value("control") < 3.5


@pytest.mark.parametrize("share", [0.25, 1.0, None])
def test_copies_that_the_model_has_not_read_yet_are_said(share):
    copies = data().receipt["canaries"]["copies"]
    tokens = None if share is None else round(share * data().splits["train"].n_tokens)
    said = CanariesAnalysisConfig().build("canaries", facts(tokens=tokens)).caveats[2:]
    wanted = f"has read 0.25 of its training text, so about {copies / 4:.0f} of the {copies} copies"
    assert (wanted in said[0]) if share == 0.25 else not said


def test_data_without_canaries_or_no_data_are_said(tmp_path):
    path = write_corpus(tmp_path, sentences(100))
    prepared = prepare(settings(path, tmp_path, tokenizer=ByteTokenizerConfig()), progress=False)
    with pytest.raises(ConfigError, match=r"train with data\.canaries\.count=20"):
        CanariesAnalysisConfig().build("canaries", facts(prepared=prepared))
    with pytest.raises(DataError, match="prepare them again"):
        CanariesAnalysisConfig().build("canaries", facts(data=None))
    with pytest.raises(ConfigError, match="give 100 or more"):
        CanariesAnalysisConfig(references=5)
