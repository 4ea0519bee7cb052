"""The objective of pairs: the mean over pairs, whatever the micro-batches, chunks and ranks."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from prospero.batch import IGNORE_INDEX, Batch
from prospero.errors import ConfigError
from prospero.objective.losses.cross_entropy import CrossEntropyConfig
from prospero.objective.losses.dpo import DPOConfig, Variant
from prospero.objective.objective import Objective, Share
from prospero.objective.preference import PreferenceObjective
from prospero.objective.regularizers.l2 import L2Config
from prospero.objective.regularizers.z_loss import ZLossConfig
from prospero.objective.terms import MeasuredTokens
from tests.objective.fakes import TinyModel, batch_of, gradients

VARIANTS = [DPOConfig(beta=0.7), DPOConfig(beta=0.7, label_smoothing=0.2), DPOConfig(beta=0.7, variant=Variant.ipo)]


class PairModel(TinyModel):
    """A model that is told of document bounds, and tells nothing of them: each token is predicted from one."""

    def forward(self, input_ids, document_ids=None, *, logits=False):
        return super().forward(input_ids, logits=logits)


def pairs_batch(pairs: int = 4, seed: int = 0) -> Batch:
    """A prompt of 2, a chosen answer of 2 to 4 tokens, the prompt again, a rejected one of 3, padding; a reference."""
    generator = torch.Generator().manual_seed(seed)
    length = 12
    input_ids = torch.randint(13, (pairs, length), generator=generator)
    labels = torch.full((pairs, length), IGNORE_INDEX)
    document_ids = torch.full((pairs, length), 2, dtype=torch.int32)
    for row in range(pairs):
        chosen = 2 + row % 3
        second = 2 + chosen
        document_ids[row, :second], document_ids[row, second : second + 5] = 0, 1
        labels[row, 2:second] = torch.randint(13, (chosen,), generator=generator)
        labels[row, second + 2 : second + 5] = torch.randint(13, (3,), generator=generator)
    batch = batch_of(input_ids, labels, document_ids=document_ids)
    batch.facts = {"reference": -5 - 5 * torch.rand(pairs, 2, generator=generator)}
    return batch


def rows(batch: Batch, first: int, last: int) -> Batch:
    """Pairs [first, last) of `batch`, which stays the global batch."""
    part = replace(batch, labels=batch.labels[first:last])
    part.inputs = {name: tensor[first:last] for name, tensor in batch.inputs.items()}
    part.facts = {name: tensor[first:last] for name, tensor in batch.facts.items()}
    return part


def run(objective: Objective, model: PairModel, batch: Batch, **share) -> tuple[float, dict, dict]:
    model.zero_grad()
    objective.bind(model)
    result = objective(model, batch, Share(**share))
    result.total.backward()
    numbers = result.parts | result.observed
    return result.total.item(), {n: v.item() for n, v in numbers.items()}, gradients(model)


def by_hand(model: PairModel, batch: Batch, config: DPOConfig) -> torch.Tensor:
    """The mean loss of the pairs in float64, pair by pair, token by token."""
    logits = model(batch.inputs["input_ids"], logits=True).logits.double()
    total = torch.zeros((), dtype=torch.float64)
    for row in range(len(batch.labels)):
        ratios = []
        for document in (0, 1):
            found = torch.zeros((), dtype=torch.float64)
            count = 0
            for place, label in enumerate(batch.labels[row].tolist()):
                if label != IGNORE_INDEX and batch.inputs["document_ids"][row, place] == document:
                    found = found + logits[row, place, label] - logits[row, place].logsumexp(0)
                    count += 1
            ratio = found - batch.facts["reference"][row, document].double()
            ratios.append(ratio / count if config.variant is Variant.ipo else ratio)
        h = ratios[0] - ratios[1]
        if config.variant is Variant.ipo:
            total = total + (h - 1 / (2 * config.beta)) ** 2
        else:
            wrong = config.label_smoothing
            scaled = config.beta * h
            total = total - (1 - wrong) * torch.log(torch.sigmoid(scaled)) - wrong * torch.log(torch.sigmoid(-scaled))
    return total / len(batch.labels)


@pytest.mark.parametrize("config", VARIANTS, ids=["sigmoid", "smoothed", "ipo"])
@pytest.mark.parametrize("chunk_tokens", [None, 7])
def test_loss_and_gradient_are_those_computed_by_hand(config, chunk_tokens):
    torch.manual_seed(0)
    model, batch = PairModel(), pairs_batch()
    objective = PreferenceObjective({"dpo": replace(config, chunk_tokens=chunk_tokens).build()})
    total, _, found = run(objective, model, batch)
    model.zero_grad()
    expected = by_hand(model, batch, config)
    expected.backward()
    assert total == pytest.approx(expected.item(), rel=1e-6)
    torch.testing.assert_close(found, gradients(model), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("config", VARIANTS, ids=["sigmoid", "smoothed", "ipo"])
def test_at_the_start_it_is_ln_2(config):
    """The reference's log-probabilities are the model's own; 1 / (4 beta^2) of ipo."""
    torch.manual_seed(0)
    model, batch = PairModel(), pairs_batch()
    batch.facts = {"reference": answers_of(model, batch)}
    total, numbers, _ = run(PreferenceObjective({"dpo": config.build()}), model, batch)
    expected = 1 / (4 * 0.7**2) if config.variant is Variant.ipo else math.log(2)
    assert total == pytest.approx(expected, abs=1e-6)
    assert numbers["preference/margin"] == pytest.approx(0, abs=1e-6)


def answers_of(model: PairModel, batch: Batch) -> torch.Tensor:
    with torch.no_grad():
        logits = model(batch.inputs["input_ids"], logits=True).logits
        nats = F.cross_entropy(logits.flatten(0, 1), batch.labels.flatten(), ignore_index=-100, reduction="none")
        nats = nats.unflatten(0, batch.labels.shape)
        documents = batch.inputs["document_ids"]
        return -torch.stack([(nats * (documents == which)).sum(1) for which in (0, 1)], dim=-1)


@pytest.mark.parametrize("ranks", [1, 2])
def test_micro_batches_and_ranks_change_nothing(ranks):
    """The sum over micro-steps of the mean over ranks, regularisers and the loss of the chosen tokens included."""
    torch.manual_seed(0)
    model, batch = PairModel(), pairs_batch()
    losses = {"dpo": DPOConfig(beta=0.3).build(), "cross_entropy": CrossEntropyConfig(weight=0.5).build()}
    objective = PreferenceObjective(
        losses, {"z_loss": ZLossConfig(weight=0.1).build(), "l2": L2Config(weight=0.1).build()}
    )
    whole = run(objective, model, batch)
    totals, numbers, grads = [], [], []
    for micro_step in range(4 // ranks):
        for rank in range(ranks):
            first = micro_step * ranks + rank
            last = micro_step == 4 // ranks - 1
            share = {"last_micro_step": last, "gradient_average_over": ranks}
            found = run(objective, model, rows(batch, first, first + 1), **share)
            totals.append(found[0])
            numbers.append(found[1])
            grads.append(found[2])
    assert sum(totals) / ranks == pytest.approx(whole[0], rel=1e-6)
    for name, value in whole[1].items():
        assert sum(n[name] for n in numbers) / ranks == pytest.approx(value, rel=1e-5, abs=1e-7)
    for name, value in whole[2].items():
        torch.testing.assert_close(sum(g[name] for g in grads) / ranks, value, rtol=1e-4, atol=1e-7)


def test_cross_entropy_beside_it_is_of_the_chosen_answers_alone_each_pair_alike():
    torch.manual_seed(0)
    model, batch = PairModel(), pairs_batch()
    losses = {"dpo": DPOConfig().build(), "cross_entropy": CrossEntropyConfig(weight=2.0).build()}
    total, parts, _ = run(PreferenceObjective(losses), model, batch)
    logits = model(batch.inputs["input_ids"], logits=True).logits
    expected = 0.0
    for row in range(4):
        mine = (batch.inputs["document_ids"][row] == 0) & (batch.labels[row] != IGNORE_INDEX)
        expected += F.cross_entropy(logits[row][mine], batch.labels[row][mine]).item() / 4
    assert parts["cross_entropy"] == pytest.approx(2 * expected, rel=1e-5)
    assert total == pytest.approx(parts["dpo"] + parts["cross_entropy"], rel=1e-6)


class Seen:
    reads: frozenset[str] = frozenset()

    def update(self, scores: MeasuredTokens, batch: Batch) -> None:
        self.scores = scores


def test_a_validation_sees_the_pairs_and_which_of_them_are_real():
    torch.manual_seed(0)
    model, batch, seen = PairModel(), pairs_batch(), Seen()
    losses = {"dpo": DPOConfig(beta=0.3).build(), "cross_entropy": CrossEntropyConfig(weight=0.5).build()}
    objective = PreferenceObjective(losses)
    total, numbers, _ = run(objective, model, batch)
    batch.labels = torch.cat([batch.labels, torch.full((1, 12), IGNORE_INDEX)])
    batch.inputs = {name: torch.cat([tensor, tensor[:1]]) for name, tensor in batch.inputs.items()}
    batch.facts = {"reference": torch.cat([batch.facts["reference"], torch.zeros(1, 2)])}
    objective.measure(model, batch, [seen])
    pairs = seen.scores.pairs
    assert pairs is not None and pairs.real.tolist() == [True] * 4 + [False]
    assert pairs.loss[:4].mean().item() == pytest.approx(total, rel=1e-6)
    margin = (pairs.rewards[:4, 0] - pairs.rewards[:4, 1]).mean().item()
    assert margin == pytest.approx(numbers["preference/margin"], rel=1e-5)
    assert pairs.tokens[:4].tolist() == [[2, 3], [3, 3], [4, 3], [2, 3]]
    torch.testing.assert_close(seen.scores.loss, seen.scores.nats)


def test_one_loss_of_pairs():
    with pytest.raises(ConfigError, match="2 losses of pairs"):
        PreferenceObjective({"a": DPOConfig().build(), "b": DPOConfig().build()})
