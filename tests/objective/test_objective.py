"""The sum over micro-steps of the mean over ranks of `total` is the objective of the whole batch."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from prospero import registry
from prospero.batch import IGNORE_INDEX, Batch
from prospero.errors import ConfigError, DataError
from prospero.objective.losses.cross_entropy import CrossEntropyConfig
from prospero.objective.losses.focal import FocalConfig
from prospero.objective.objective import Objective, Share
from prospero.objective.regularizers.z_loss import ZLossConfig
from prospero.objective.terms import token_scores
from tests.objective.fakes import FixedTeacher, Outspoken, TinyModel, gradients, part, tiny_batch

OF_FACTS = {n for n in registry.names("loss") if registry.config_class("loss", n)().build().facts} - {"distill"}
"""What reads facts of a batch has tests of its own; distill makes its own facts."""
LOSSES = [n for n in registry.names("loss") if n not in OF_FACTS]


def everything(chunk_tokens: int | None = None) -> Objective:
    """Every loss and every regulariser of the table."""
    losses = {n: registry.config_class("loss", n)(chunk_tokens=chunk_tokens) for n in LOSSES}
    terms = {n: registry.config_class("regularizers", n)(weight=0.1) for n in registry.names("regularizers")}
    built = {n: c.build() for n, c in losses.items()}
    built["distill"].teacher = FixedTeacher()
    return Objective(built, {n: c.build() for n, c in terms.items()})


def run(objective: Objective, model: TinyModel, batch: Batch, **share) -> tuple[float, dict, dict]:
    model.zero_grad()
    objective.bind(model)
    result = objective(model, batch, Share(**share))
    result.total.backward()
    return result.total.item(), {n: v.item() for n, v in result.parts.items()}, gradients(model)


@pytest.mark.parametrize("kind", [TinyModel, Outspoken])
def test_cross_entropy_alone_is_torchs_mean(kind):
    torch.manual_seed(0)
    model, batch = kind(), tiny_batch()
    objective = Objective({"cross_entropy": CrossEntropyConfig().build()})
    result = objective(model, batch, Share())
    result.total.backward()
    found = gradients(model)
    model.zero_grad()
    logits = model(batch.inputs["input_ids"], logits=True).logits
    expected = F.cross_entropy(logits.flatten(0, 1), batch.labels.flatten(), ignore_index=IGNORE_INDEX)
    expected.backward()
    torch.testing.assert_close(result.total, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(found, gradients(model), rtol=1e-5, atol=1e-8)
    assert result.parts.keys() == {"cross_entropy"}


def test_losses_are_a_weighted_list_and_each_is_logged():
    """2 x cross-entropy + 0.5 x focal with gamma 2, written out."""
    torch.manual_seed(0)
    model, batch = TinyModel(), tiny_batch()
    losses = {"cross_entropy": CrossEntropyConfig(weight=2.0).build(), "focal": FocalConfig(weight=0.5).build()}
    total, parts, found = run(Objective(losses), model, batch)
    model.zero_grad()
    logits = model(batch.inputs["input_ids"], logits=True).logits.flatten(0, 1)[batch.labels.flatten() != IGNORE_INDEX]
    targets = batch.labels[batch.labels != IGNORE_INDEX]
    nats = F.cross_entropy(logits, targets, reduction="none")
    focal = ((1 - (-nats).exp()) ** 2 * nats).mean()
    (2 * nats.mean() + 0.5 * focal).backward()
    assert parts == pytest.approx({"cross_entropy": 2 * nats.mean().item(), "focal": 0.5 * focal.item()}, rel=1e-5)
    assert total == pytest.approx(sum(parts.values()), rel=1e-6)
    torch.testing.assert_close(found, gradients(model), rtol=1e-4, atol=1e-7)


def test_focal_loss_with_gamma_0_is_cross_entropy():
    torch.manual_seed(0)
    model, batch = TinyModel(), tiny_batch()
    plain = run(Objective({"l": CrossEntropyConfig().build()}), model, batch)
    focal = run(Objective({"l": FocalConfig(gamma=0.0).build()}), model, batch)
    assert focal[0] == pytest.approx(plain[0], rel=1e-6)
    torch.testing.assert_close(focal[2], plain[2], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_loss_of_a_certain_token_has_a_finite_gradient(gamma):
    logits = torch.tensor([[60.0, 0.0, 0.0]], requires_grad=True)
    scores = token_scores(logits, torch.tensor([0]), frozenset())
    FocalConfig(gamma=gamma).build().per_token(scores).sum().backward()
    assert torch.isfinite(logits.grad).all()


def test_logits_that_a_model_returns_are_left_whole():
    model, batch = Outspoken(), tiny_batch()
    result = Objective({"cross_entropy": CrossEntropyConfig().build()})(model, batch, Share())
    before = model.returned.detach().clone()
    result.total.backward()
    assert torch.equal(model.returned, before)


def test_parts_add_up_to_the_total():
    torch.manual_seed(0)
    total, parts, _ = run(everything(), TinyModel(), tiny_batch())
    assert total == pytest.approx(sum(parts.values()), rel=1e-6)
    assert set(parts) == {*LOSSES, *registry.names("regularizers")}
    assert [name for name, value in parts.items() if value == 0] == ["l2_sp"]  # nothing has moved yet


def test_micro_steps_and_ranks_add_up_to_the_whole_batch():
    """Four uneven pieces as 2 ranks x 2 micro-steps: sum over micro-steps of the mean over ranks."""
    torch.manual_seed(0)
    model, batch, objective = TinyModel(), tiny_batch(batch_size=8), everything()
    objective.bind(model)
    total, parts, grads = run(objective, model, batch)
    pieces = [part(batch, i, i + 2) for i in range(0, 8, 2)]
    assert len({int((piece.labels != IGNORE_INDEX).sum()) for piece in pieces}) > 1
    sum_total, sum_parts = 0.0, dict.fromkeys(parts, 0.0)
    sum_grads = {n: torch.zeros_like(g) for n, g in grads.items()}
    for i, piece in enumerate(pieces):
        share = {"last_micro_step": i >= 2, "gradient_average_over": 2}
        piece_total, piece_parts, piece_grads = run(objective, model, piece, **share)
        sum_total += piece_total / 2
        assert piece_parts.keys() == parts.keys()
        sum_parts = {n: v + piece_parts[n] / 2 for n, v in sum_parts.items()}
        sum_grads = {n: g + piece_grads[n] / 2 for n, g in sum_grads.items()}
    assert sum_total == pytest.approx(total, rel=1e-6)
    assert sum_parts == pytest.approx(parts, rel=1e-5)
    torch.testing.assert_close(sum_grads, grads, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("softcap", [0.0, 2.0])
@pytest.mark.parametrize("chunk_tokens", [1, 5, 24, 100])
def test_chunks_change_neither_loss_nor_gradient(tied, softcap, chunk_tokens):
    torch.manual_seed(0)
    model, batch = TinyModel(tied=tied, softcap=softcap), tiny_batch()
    plain = run(everything(), model, batch)
    model.projected_tokens.clear()
    chunked = run(everything(chunk_tokens), model, batch)
    assert max(model.projected_tokens) <= chunk_tokens
    assert chunked[0] == pytest.approx(plain[0], rel=1e-6)
    assert chunked[1] == pytest.approx(plain[1], rel=1e-5)
    torch.testing.assert_close(chunked[2], plain[2], rtol=1e-6, atol=1e-6)


def test_chunks_respect_the_factor_of_backward():
    torch.manual_seed(0)
    model, batch = TinyModel(), tiny_batch()
    objective = Objective({"cross_entropy": CrossEntropyConfig(chunk_tokens=5).build()})
    once = run(objective, model, batch)[2]
    model.zero_grad()
    (3 * objective(model, batch, Share()).total).backward()
    torch.testing.assert_close(gradients(model), {n: 3 * g for n, g in once.items()}, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("chunk_tokens", [None, 7])
def test_bf16_autocast_reduces_in_float32(chunk_tokens):
    torch.manual_seed(0)
    model, batch = TinyModel(vocab_size=999, d_model=64), tiny_batch(vocab_size=999)
    objective = Objective(
        {"cross_entropy": CrossEntropyConfig(chunk_tokens=chunk_tokens).build()}, {"z_loss": ZLossConfig().build()}
    )
    exact = run(objective, model, batch)
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        result = objective(model, batch, Share())
    result.total.backward()
    assert result.total.dtype == torch.float32
    assert result.total.item() == pytest.approx(exact[0], rel=2e-3)
    for name, grad in gradients(model).items():
        error = (grad - exact[2][name]).norm() / exact[2][name].norm().clamp(min=1e-9)
        assert error < 2e-2, name


class Sums:
    """A metric that keeps what it is given."""

    reads = frozenset({"predicted", "entropy", "logits"})

    def update(self, scores, batch):
        self.scores, self.batch = scores, batch


@pytest.mark.parametrize("chunk_tokens", [None, 5])
@pytest.mark.parametrize("kind", [TinyModel, Outspoken])
def test_what_is_measured_is_each_tokens_loss_alone(kind, chunk_tokens):
    torch.manual_seed(0)
    model, batch, metric = kind(), tiny_batch(), Sums()
    losses = {"cross_entropy": CrossEntropyConfig(chunk_tokens=chunk_tokens).build(), "focal": FocalConfig().build()}
    Objective(losses).measure(model, batch, [metric])
    logits = model(batch.inputs["input_ids"], logits=True).logits.detach()
    log_p = logits.log_softmax(-1)
    expected = F.nll_loss(log_p.flatten(0, 1), batch.labels.flatten(), ignore_index=-100, reduction="none")
    scores = metric.scores
    assert torch.equal(scores.mask, batch.labels != IGNORE_INDEX) and metric.batch is batch
    torch.testing.assert_close(torch.where(scores.mask, scores.nats, 0).flatten(), expected, rtol=1e-5, atol=1e-6)
    focal = (1 - (-scores.nats).exp()) ** 2 * scores.nats
    torch.testing.assert_close(scores.loss, scores.nats + focal)
    assert not scores.loss.requires_grad
    assert torch.equal(scores.predicted, logits.argmax(-1))
    torch.testing.assert_close(scores.entropy, -(log_p.exp() * log_p).sum(-1))
    torch.testing.assert_close(scores.logits, logits)


def test_what_nobody_reads_is_not_measured():
    class Plain(Sums):
        reads = frozenset()

    metric = Plain()
    Objective({"c": CrossEntropyConfig(weight=3.0).build()}).measure(TinyModel(), tiny_batch(), [metric])
    assert metric.scores.predicted is None and metric.scores.entropy is None and metric.scores.logits is None
    torch.testing.assert_close(metric.scores.loss, 3 * metric.scores.nats)


def test_a_micro_batch_without_targets_gives_zero():
    model, batch = TinyModel(), replace(tiny_batch(), target_tokens=7)
    batch.labels[:] = IGNORE_INDEX
    total, _, grads = run(Objective({"cross_entropy": CrossEntropyConfig().build()}), model, batch)
    assert total == 0 and all(not g.any() for g in grads.values())


def test_a_global_batch_without_targets_is_refused():
    with pytest.raises(DataError, match="no target"):
        everything()(TinyModel(), replace(tiny_batch(), target_tokens=0), Share())


def test_parameter_terms_need_bind():
    with pytest.raises(RuntimeError, match="bind"):
        everything()(TinyModel(), tiny_batch(), Share())


def test_impossible_settings_are_one_line():
    with pytest.raises(ConfigError, match="chunk_tokens=0"):
        CrossEntropyConfig(chunk_tokens=0)
    with pytest.raises(ConfigError, match=r"weight=0\.0 is no factor of a loss"):
        CrossEntropyConfig(weight=0.0)
    with pytest.raises(ConfigError, match=r"gamma=-1\.0"):
        FocalConfig(gamma=-1.0)
    with pytest.raises(ConfigError, match="name of a loss"):
        Objective({"cross_entropy": CrossEntropyConfig().build()}, {"cross_entropy": ZLossConfig().build()})
    with pytest.raises(ConfigError, match=r"loss=\[\] leaves nothing to learn"):
        Objective({})
