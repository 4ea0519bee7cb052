"""The rewards of a run as a task."""

import pytest
import torch

from prospero import compose
from prospero.data.prepare import prepare
from prospero.errors import ConfigError
from prospero.evaluation.measurement import Subject
from prospero.evaluation.rewards.answer import AnswerConfig
from prospero.evaluation.rewards.length import LengthConfig
from prospero.evaluation.tasks.base import TaskFacts
from prospero.evaluation.tasks.reward import RewardTaskConfig
from prospero.generation.decoder import ModelDecoder
from prospero.model.transformer import TransformerConfig


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    words = ["data=sums", "data.digits=1", "rendering=prompt_response", "cleaning=none", "tokenizer=char", "split=hash"]
    words += ["split.val_fraction=0.2", f"outputs_dir={tmp_path_factory.mktemp('sums')}"]
    return prepare(compose("prepare", words), progress=False)


def test_held_out_prompts_are_answered_and_rewarded(data):
    rewards = {"answer": AnswerConfig(), "length": LengthConfig(target=2, weight=-0.5)}
    facts = TaskFacts(rewards=rewards, validation=data.directory)
    task = RewardTaskConfig(max_new_tokens=2).build("reward", facts)
    assert [(q.name, q.higher_is_better) for q in task.quantities] == [
        ("total", True), ("answer", True), ("length", False),
    ]  # fmt: skip
    torch.manual_seed(0)
    model = TransformerConfig(n_layers=1, d_model=16, n_heads=2).build(data.tokenizer.vocab_size, 8)
    measured = task(Subject(decoder=ModelDecoder(model), tokenizer=data.tokenizer, name="it", rows=4))
    assert len(measured.outcomes) == task.size == data.splits["val"].n_documents
    for outcome in measured.outcomes:
        record = outcome.record
        right = float(record["prediction"].strip() == record["response"])
        length = max(0.0, 1 - abs(len(record["prediction"]) - 2) / 2)
        assert outcome.statistics["answer"] == [right, 1] and outcome.statistics["length"] == [length, 1]
        assert outcome.statistics["total"] == [pytest.approx(right - length / 2), 1]


def test_without_rewards_there_is_nothing_to_measure(data):
    with pytest.raises(ConfigError, match="choose loss=grpo and reward="):
        RewardTaskConfig().build("reward", TaskFacts(validation=data.directory))
    with pytest.raises(ConfigError, match=r"keep the field of your records: rendering.keep"):
        RewardTaskConfig().build(
            "reward", TaskFacts(validation=data.directory, rewards={"answer": AnswerConfig(field="gold")})
        )
    with pytest.raises(ConfigError, match="split=train is not held out"):
        RewardTaskConfig(split="train")
