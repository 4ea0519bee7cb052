"""The loss of a step by source: means over each source's targets, whatever the micro-steps and ranks."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from prospero.batch import IGNORE_INDEX
from prospero.errors import ConfigError
from prospero.objective.by_source import means_by_source
from prospero.objective.losses.cross_entropy import CrossEntropyConfig
from prospero.objective.losses.focal import FocalConfig
from prospero.objective.objective import Objective, Share
from tests.objective.fakes import TinyModel, gradients, part, tiny_batch

NAMES = ["few", "many", "none"]


def objective(chunk_tokens=None, sources=True):
    found = Objective({"cross_entropy": CrossEntropyConfig(weight=2.0, chunk_tokens=chunk_tokens).build()})
    if sources:
        found.observe_sources(NAMES)
    return found


def batch_of_sources():
    batch = tiny_batch()
    ids = torch.arange(batch.labels.numel()).reshape(batch.labels.shape) % 3 // 2
    return replace(batch, facts={"source_ids": ids.int()})


def by_hand(model, batch):
    logits = model(batch.inputs["input_ids"], logits=True).logits.detach()
    nats = F.cross_entropy(logits.flatten(0, 1), batch.labels.flatten(), ignore_index=IGNORE_INDEX, reduction="none")
    ids, real = batch.facts["source_ids"].flatten(), batch.labels.flatten() != IGNORE_INDEX
    found = {f"loss/{name}": 2 * float(nats[real & (ids == k)].mean()) for k, name in enumerate(NAMES[:2])}
    return found | {f"share/{name}": float((real & (ids == k)).sum() / real.sum()) for k, name in enumerate(NAMES)}


@pytest.mark.parametrize("chunk_tokens", [None, 3])
def test_each_source_has_the_mean_of_its_targets(chunk_tokens):
    torch.manual_seed(0)
    model, batch = TinyModel(), batch_of_sources()
    result = objective(chunk_tokens)(model, batch, Share())
    found = means_by_source({name: float(value) for name, value in result.observed.items()})
    assert found == pytest.approx(by_hand(model, batch), rel=1e-5)
    shared = sum(found[f"loss/{name}"] * found[f"share/{name}"] for name in NAMES[:2])
    assert shared == pytest.approx(float(result.parts["cross_entropy"]), rel=1e-5)


def test_it_changes_no_gradient():
    torch.manual_seed(0)
    model, batch, found = TinyModel(), batch_of_sources(), []
    for sources in (True, False):
        model.zero_grad()
        objective(sources=sources)(model, batch, Share()).total.backward()
        found.append(gradients(model))
    torch.testing.assert_close(*found, rtol=0, atol=0)


def test_micro_steps_add_up():
    torch.manual_seed(0)
    model, batch, made = TinyModel(), batch_of_sources(), objective()
    sums: dict[str, float] = {}
    for row in range(len(batch.labels)):
        piece = replace(part(batch, row, row + 1), facts={"source_ids": batch.facts["source_ids"][row : row + 1]})
        for name, value in made(model, piece, Share()).observed.items():
            sums[name] = sums.get(name, 0.0) + float(value)
    assert means_by_source(sums) == pytest.approx(by_hand(model, batch), rel=1e-5)


def test_a_part_with_the_name_of_a_loss_is_refused():
    made = Objective({"cross_entropy": CrossEntropyConfig().build(), "focal": FocalConfig().build()})
    with pytest.raises(ConfigError, match="'focal' is a loss or a regulariser of this run and a part of its data"):
        made.observe_sources(["text", "focal"])
