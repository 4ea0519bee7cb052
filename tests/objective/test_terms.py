"""Terms see float32 sums under autocast, and a term of one's own may read the logits themselves."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from prospero.batch import Batch
from prospero.errors import DataError
from prospero.objective.losses.base import Loss, LossConfig
from prospero.objective.losses.cross_entropy import CrossEntropyConfig
from prospero.objective.objective import Objective, Share
from prospero.objective.regularizers.base import RegularizerConfig, TokenRegularizer
from prospero.objective.regularizers.confidence_penalty import ConfidencePenaltyConfig
from prospero.objective.regularizers.label_smoothing import LabelSmoothingConfig
from prospero.objective.terms import MeasuredTokens, TokenScores, chunked_term_sums, token_scores
from tests.objective.fakes import Outspoken, TinyModel, gradients, tiny_batch

ROWS = frozenset({"mean_logit", "expected_logit"})


class SquaredLogits(TokenRegularizer):
    """The mean square of the logits, as a user might write it."""

    reads = frozenset({"logits"})

    def per_token(self, scores: TokenScores) -> Tensor:
        assert scores.logits is not None
        return scores.logits.float().square().mean(-1)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_row_scores_and_their_gradients_are_torchs(dtype, overwrite):
    torch.manual_seed(0)
    leaf = torch.randn(7, 33).to(dtype).requires_grad_()
    labels, weights = torch.randint(33, (7,)), torch.randn(4, 7)
    scores = token_scores(leaf * 1, labels, ROWS, overwrite=overwrite)
    found = (scores.log_sum_exp, scores.target_logit, scores.mean_logit, scores.expected_logit)
    sum((w * value).sum() for w, value in zip(weights, found)).backward()
    plain = leaf.detach().float().requires_grad_()
    expected = (
        plain.logsumexp(-1),
        plain.gather(-1, labels[:, None])[:, 0],
        plain.mean(-1),
        (plain.softmax(-1) * plain).sum(-1),
    )
    sum((w * value).sum() for w, value in zip(weights, expected)).backward()
    for value, right in zip(found, expected):
        torch.testing.assert_close(value, right, rtol=1e-5, atol=1e-6)
    tolerance = 1e-6 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(leaf.grad.float(), plain.grad, rtol=tolerance, atol=tolerance)


def test_only_what_is_read_is_made():
    scores = token_scores(torch.randn(2, 5), torch.zeros(2, dtype=torch.long), frozenset())
    assert scores.mean_logit is None and scores.expected_logit is None and scores.logits is None


@pytest.mark.parametrize("chunk_tokens", [None, 5])
def test_a_term_may_read_the_logits(chunk_tokens):
    torch.manual_seed(0)
    model, batch = TinyModel(), tiny_batch()
    term = SquaredLogits(RegularizerConfig(weight=0.5))
    objective = Objective({"cross_entropy": CrossEntropyConfig(chunk_tokens=chunk_tokens).build()}, {"squared": term})
    objective(model, batch, Share()).total.backward()
    found = gradients(model)
    model.zero_grad()
    mask = batch.labels.flatten() != -100
    logits = model(batch.inputs["input_ids"], logits=True).logits.flatten(0, 1)[mask]
    (F.cross_entropy(logits, batch.labels.flatten()[mask]) + 0.5 * logits.square().mean()).backward()
    torch.testing.assert_close(found, gradients(model), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("chunk_tokens", [None, 5])
def test_every_term_works_under_autocast(chunk_tokens):
    torch.manual_seed(0)
    model, batch = TinyModel(vocab_size=500, d_model=32), tiny_batch(vocab_size=500)
    terms = {"smoothing": LabelSmoothingConfig().build(), "confidence": ConfidencePenaltyConfig().build()}
    objective = Objective({"cross_entropy": CrossEntropyConfig(chunk_tokens=chunk_tokens).build()}, terms)
    exact = objective(model, batch, Share()).total
    with torch.autocast("cpu", torch.bfloat16):
        result = objective(model, batch, Share())
    result.total.backward()
    assert result.total.dtype == torch.float32 and result.total.item() == pytest.approx(exact.item(), rel=3e-3)


def test_chunks_without_gradients_hold_no_graph():
    model, batch = TinyModel(), tiny_batch()
    hidden, labels = model(batch.inputs["input_ids"]).hidden.flatten(0, 1), batch.labels.flatten()
    with torch.no_grad():
        total, sums = chunked_term_sums(
            [CrossEntropyConfig().build()], torch.ones(1), model.project, hidden, labels, {}, 5
        )
    assert not total.requires_grad and total == sums[0] and max(model.projected_tokens) == 5


class FactLoss(Loss):
    """The nats of each token, weighed by one fact [B, T] and the sum of another [B, T, 3]."""

    facts = frozenset({"advantages", "three"})

    def per_token(self, scores: TokenScores) -> Tensor:
        factor = scores.facts["advantages"] + scores.facts["three"].sum(-1)
        return factor * (scores.log_sum_exp - scores.target_logit)


class Seen:
    """A metric that keeps what it is shown."""

    reads: frozenset[str] = frozenset()

    def update(self, scores: MeasuredTokens, batch: Batch) -> None:
        self.scores = scores


def batch_with_facts() -> Batch:
    batch, generator = tiny_batch(), torch.Generator().manual_seed(1)
    facts = {"advantages": torch.randn(4, 6, generator=generator), "three": torch.randn(4, 6, 3, generator=generator)}
    return replace(batch, facts={**facts, "unread": torch.zeros(())})


@pytest.mark.parametrize("kind", [TinyModel, Outspoken])
@pytest.mark.parametrize("chunk_tokens", [None, 5])
def test_a_term_may_read_facts_of_the_batch(chunk_tokens, kind):
    torch.manual_seed(0)
    model, batch = kind(), batch_with_facts()
    objective = Objective({"weighed": FactLoss(LossConfig(chunk_tokens=chunk_tokens))})
    total = objective(model, batch, Share()).total
    total.backward()
    found, metric = gradients(model), Seen()
    objective.measure(model, batch, [metric])
    model.zero_grad()
    logits = model(batch.inputs["input_ids"], logits=True).logits
    nats = F.cross_entropy(logits.flatten(0, 1), batch.labels.flatten(), reduction="none").view(4, 6)
    expected = (batch.facts["advantages"] + batch.facts["three"].sum(-1)) * nats
    mean = expected[batch.labels != -100].mean()
    mean.backward()
    torch.testing.assert_close(total, mean, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(found, gradients(model), rtol=1e-4, atol=1e-6)
    mask = metric.scores.mask
    torch.testing.assert_close(metric.scores.loss[mask], expected.detach()[mask], rtol=1e-5, atol=1e-6)


def test_a_fact_that_is_not_there_is_named():
    model, objective = TinyModel(), Objective({"weighed": FactLoss(LossConfig())})
    for batch, there in ((tiny_batch(), "there are none"), (_with_one(), "those are advantages")):
        with pytest.raises(DataError, match=f"FactLoss reads 'three|advantages' of the batch's facts, and {there}"):
            objective(model, batch, Share())
        with pytest.raises(DataError, match="FactLoss reads"):
            objective.measure(model, batch, [Seen()])


def _with_one() -> Batch:
    return replace(tiny_batch(), facts={"advantages": torch.zeros(4, 6)})
