"""Every task that has records of its own, from end to end, with a small model of random weights."""

import json
import math

import pytest
import torch

from prospero import registry
from prospero.evaluation.measurement import Subject
from prospero.evaluation.tasks.base import TaskFacts
from prospero.evaluation.tasks.choice import ChoiceTask
from prospero.generation.decoder import ModelDecoder
from prospero.model.transformer import TransformerConfig
from tests.evaluation.tasks.fakes import TOKENIZER, Equal, Sizes

pytestmark = pytest.mark.heavy
WRITING = {"summarize", "dialogue", "content", "function_bodies"}


class Named(Sizes):
    """A metric under a name that a task gives: those of the room have tests of theirs."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, self.parts = name, ("first", "all")


@pytest.fixture(scope="module")
def decoder() -> ModelDecoder:
    torch.manual_seed(1)
    config = TransformerConfig(d_model=32, n_layers=2, n_heads=2)
    return ModelDecoder(config.build(TOKENIZER.vocab_size, 128).eval())


def measured(task, decoder, rows):
    return task(Subject(decoder=decoder, tokenizer=TOKENIZER, name="tiny", rows=rows))


@pytest.mark.parametrize("name", ["summarize", "dialogue", "content", "function_bodies", "choice", "cloze"])
def test_from_end_to_end(name, decoder):
    config = registry.config_class("tasks", name)()
    chosen = {metric: Named(metric) for metric in config.metrics} if name in WRITING else {}
    if name in WRITING:
        config.decoding.max_new_tokens = 8
    task = config.build(name, TaskFacts(metrics=chosen, limit=6))
    one, many = measured(task, decoder, 1), measured(task, decoder, 16)
    assert task.size == 6 and [outcome.item for outcome in one.outcomes] == list(range(6))
    assert one.values() == pytest.approx(many.values(), rel=1e-5)
    for value in one.values().values():
        assert math.isfinite(value)
    assert 7.5 < one.value("bits_per_byte") < 9.5  # a model of random weights knows nothing: 8 bits of a byte, about
    for alone, together in zip(one.outcomes, many.outcomes):
        numbers = {"log_likelihoods": pytest.approx(alone.record.get("log_likelihoods", []), rel=1e-5)}
        assert together.record == {**alone.record, **(numbers if name == "choice" else {})}
    assert "contamination" in task.facts and len(task.facts["fingerprint"]) == 32
    json.dumps([task.facts, [outcome.record for outcome in one.outcomes]])


def test_embedded_sizes_and_chance():
    sizes = {}
    for name in ("summarize", "dialogue", "content", "choice", "cloze"):
        config = registry.config_class("tasks", name)()
        if name in WRITING:
            config.metrics = []
        task = config.build(name, TaskFacts(metrics={"equal": Equal()}))
        sizes[name] = task.size
        if isinstance(task, ChoiceTask):
            assert task.facts["chance"] == 0.5
            assert 0.4 < sum(item.answer for item in task.items) / task.size < 0.6
    assert all(size >= 30 for size in sizes.values()), sizes
    assert sizes["summarize"] <= 200 and sizes["choice"] <= 500
