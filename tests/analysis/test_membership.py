"""Membership: the scores by hand, and a model that knows its text from one that does not."""

import math

import pytest
import torch

from prospero.analysis.membership import Membership, MembershipConfig, scores
from prospero.data.canaries import canaries_of
from prospero.errors import ConfigError
from tests.analysis.memorising import data, facts, subject


def test_scores_by_hand():
    p = torch.tensor([[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8], [0.25, 0.25, 0.5], [1 / 3, 1 / 3, 1 / 3]]])
    found = scores(p.log(), torch.tensor([[0, 0, 2, 1]]), k=0.5)
    nats = [math.log(0.5), math.log(0.1), math.log(0.5), math.log(1 / 3)]
    assert float(found["loss"]) == pytest.approx(sum(nats) / 4)
    assert float(found["min_k"]) == pytest.approx((nats[1] + nats[3]) / 2)
    standard = []
    for row, label in zip(p[0, :3].double(), (0, 0, 2)):
        mean = float((row * row.log()).sum())
        deviation = math.sqrt(float((row * row.log() ** 2).sum()) - mean**2)
        standard.append((math.log(float(row[label])) - mean) / deviation)
    lowest = sorted([*standard, 0.0])[:2]  # where all are equally likely, each is as likely as the mean
    assert float(found["min_k_pp"]) == pytest.approx(sum(lowest) / 2, abs=1e-3)


def test_memorised_text_is_told_from_unseen_text_and_alike_texts_are_not():
    canaries = canaries_of(data().directory, data().receipt)
    planted, controls = (
        [list(data().tokenizer.encode(canaries.line(secret))) for secret in secrets]
        for secrets in (canaries.planted, canaries.controls)
    )
    known = Membership("membership", MembershipConfig(), data(), list(zip(planted, controls)))(subject())
    assert known.value("auc_loss") == known.value("auc_min_k") == 1 and known.value("auc_min_k_pp") > 0.9
    alike = Membership("membership", MembershipConfig(), data(), [*zip(controls, controls)])(subject())
    assert alike.value("auc_min_k") == 0.5


def test_pairs_are_drawn_by_the_seed():
    config = MembershipConfig(tokens=32, limit=5)
    first, again = (config.build("membership", facts()).pairs for _ in range(2))
    assert first == again != config.build("membership", facts(seed=2)).pairs
    assert len(first) == 5 and all(len(text) == 32 for pair in first for text in pair)
    with pytest.raises(ConfigError, match="reads 64 at once"):
        MembershipConfig(tokens=65).build("membership", facts())
    with pytest.raises(ConfigError, match="share of the tokens"):
        MembershipConfig(k=0)
