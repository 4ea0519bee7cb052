"""BERTScore by hand with a scorer of two dimensions, and where its scorer comes from."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from prospero.errors import ConfigError
from prospero.evaluation.metrics.base import MetricFacts
from prospero.evaluation.metrics.bert_score import BertScore, BertScoreConfig, located
from prospero.evaluation.metrics.text_base import TextSample

FACTS = MetricFacts(token_bytes=np.zeros(0, np.int32), seq_len=1)


class Compass:
    """Reads letters as directions, between two tokens of its own that point north-east."""

    name = "compass"
    directions = {"n": (0.0, 2.0), "e": (3.0, 0.0), "s": (0.0, -1.0), "w": (-1.0, 0.0)}

    def encode(self, text):
        states = [(1.0, 1.0), *(self.directions[letter] for letter in text), (1.0, 1.0)]
        weights = torch.tensor([False, *[True] * len(text), False])
        return torch.tensor(states), weights


def row(prediction: str, *references: str) -> list[float]:
    return BertScore(Compass).statistics([TextSample(predictions=[prediction], references=[*references])])[0].tolist()


def test_each_token_meets_its_nearest_of_the_other_side():
    half = math.sqrt(0.5)  # the cosine with what the encoder adds, which may be nearest but is in no mean
    assert row("ne", "n") == pytest.approx([(1 + half) / 2, 1, 2 * (1 + half) / 2 / ((1 + half) / 2 + 1), 1])
    assert row("n", "n") == pytest.approx([1, 1, 1, 1])


def test_each_number_is_that_of_the_reference_that_is_best_for_it():
    parts = np.array([row("ne", "n"), row("ne", "nes")])
    assert parts[0, 1] > parts[1, 1] and parts[1, 0] > parts[0, 0]
    assert row("ne", "n", "nes") == parts.max(axis=0).tolist()


def test_empty_texts_score_nothing_and_what_has_no_reference_is_not_measured():
    assert row("", "n") == row("n", "") == row("", "") == [0, 0, 0, 1]
    metric = BertScore(Compass)
    metric.update([TextSample(predictions=["n"])])
    assert metric.encoder is None and all(math.isnan(value) for value in metric.compute().values())
    metric.update([TextSample(predictions=["n"], references=["n"]), TextSample(predictions=[""], references=["n"])])
    assert {name: float(value) for name, value in metric.compute().items()} == {
        "bert_score_precision": 0.5,
        "bert_score_recall": 0.5,
        "bert_score_f1": 0.5,
    }


def test_where_the_scorer_is(tmp_path):
    assert located("owner/name", str(tmp_path)) == "owner/name"
    assert located(str(tmp_path), "outputs") == tmp_path
    empty = replace(FACTS, outputs_dir=str(tmp_path))
    with pytest.raises(ConfigError, match=r"There is no trained run in .* yet; train one"):
        BertScoreConfig().build(empty)
    with pytest.raises(ConfigError, match="There is no run 'frist'"):
        BertScoreConfig(encoder="frist").build(empty)
    with pytest.raises(ConfigError, match="encoder= is empty"):
        BertScoreConfig(encoder=" ")
    with pytest.raises(ConfigError, match="layer=-1 is no layer"):
        BertScoreConfig(layer=-1)
