"""Every reward on texts whose reward is known, and what is refused."""

import numpy as np
import pytest

from prospero.errors import ConfigError
from prospero.evaluation.rewards.answer import AnswerConfig, number
from prospero.evaluation.rewards.base import RewardFacts, score_all
from prospero.evaluation.rewards.doctests import DoctestsConfig
from prospero.evaluation.rewards.length import LengthConfig, Unit
from prospero.evaluation.rewards.metric import MetricConfig
from prospero.evaluation.rewards.pattern import PatternConfig

FACTS = RewardFacts(name="it", fields=frozenset({"prompt", "response", "doctests"}))
RECORD = {"prompt": "def one():\n", "response": "so it is #### 1,024", "doctests": ">>> one()\n1\n"}


@pytest.mark.parametrize(
    ("config", "text", "reward"),
    [
        (AnswerConfig(), " so it is #### 1,024\n", 1),
        (AnswerConfig(extract="#### (\\S+)", extract_reference="#### (\\S+)"), "7 #### 3 #### 1024.0", 1),
        (AnswerConfig(extract="#### (\\S+)", extract_reference="#### (\\S+)"), "#### 1025", 0),
        (AnswerConfig(extract="#### (\\S+)", extract_reference="#### (\\S+)"), "1024", 0),
        (AnswerConfig(extract="#### (\\S+)", extract_reference="#### (\\S+)", numbers=False), "#### 1024", 0),
        (PatternConfig(pattern="[0-9]+"), "12", 1),
        (PatternConfig(pattern="[0-9]+"), "12 a", 0),
        (PatternConfig(pattern="[0-9]+", whole=False), "12 a", 1),
        (LengthConfig(target=4), "abcd", 1),
        (LengthConfig(target=4), "abc", 0.75),
        (LengthConfig(target=4), "a" * 9, 0),
        (LengthConfig(limit=4), "", 1),
        (LengthConfig(limit=2, unit=Unit.words), "a b c", 0.5),
        (MetricConfig(), "it is", 0.8),  # F1 of precision 1 and recall 2 / 3
    ],
)
def test_rewards_by_hand(config, text, reward):
    record = {**RECORD, "response": "it is 1"} if isinstance(config, MetricConfig) else RECORD
    assert config.build(FACTS).score(record, text) == pytest.approx(reward)


@pytest.mark.parametrize(
    ("text", "value"), [("7", 7), ("+07.50", 7.5), ("1,000", 1000), ("1e3", 1000), ("1,00", None), ("x", None)]
)
def test_what_is_a_number(text, value):
    assert number(text) == value


def test_the_sum_is_weighed_and_every_reward_keeps_its_name():
    rewards = {
        "answer": AnswerConfig(field="prompt", weight=2.0).build(FACTS),
        "length": LengthConfig(target=2, weight=-0.5).build(FACTS),
    }
    found = score_all(rewards, [{"prompt": "46"}] * 3, ["46", "4", "47"])
    assert found.keys() == {"answer", "length", "total"}
    np.testing.assert_allclose(found["total"], [1.5, -0.25, -0.5])


@pytest.mark.processes
def test_doctests_pass_or_not():
    reward = DoctestsConfig(allow_execution=True).build(FACTS)
    assert reward.scores([RECORD] * 3, ["    return 1", "    return 2", "    return ("]) == [1, 0, 0]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (DoctestsConfig(), "reward.it.allow_execution=true"),
        (AnswerConfig(field="answer"), "hold doctests, prompt, response.*rendering.keep=.answer."),
        (MetricConfig(field="gold"), "rendering.keep=.gold."),
        (MetricConfig(metric="rouge"), "reward.it.number=null: rouge gives rouge_1"),
        (MetricConfig(metric="rogue"), "no metric 'rogue'. Did you mean 'rouge'"),
        (PatternConfig(), "reward.it.pattern="),
        (LengthConfig(), "reward.it.target="),
    ],
)
def test_what_cannot_be_built(config, message):
    with pytest.raises(ConfigError, match=message):
        config.build(FACTS)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: AnswerConfig(weight=0.0),
        lambda: AnswerConfig(extract="("),
        lambda: PatternConfig(pattern="["),
        lambda: LengthConfig(target=0),
        lambda: LengthConfig(target=1, limit=1),
        lambda: DoctestsConfig(program="{prompt}"),
        lambda: DoctestsConfig(workers=0),
    ],
)
def test_settings_that_cannot_be(wrong):
    with pytest.raises(ConfigError):
        wrong()


def test_an_answer_that_no_record_holds_is_told():
    reward = AnswerConfig(extract_reference="=(.+)").build(FACTS)
    with pytest.raises(ConfigError, match="finds nothing in 'so it is"):
        reward.score(RECORD, "1")
