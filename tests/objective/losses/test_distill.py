"""Distillation: loss and gradient are those written out in torch; chunks, buckets and validation change nothing."""

import pytest
import torch
from torch.nn import functional as F

from prospero.errors import ConfigError
from prospero.objective.losses.cross_entropy import CrossEntropy, CrossEntropyConfig
from prospero.objective.losses.distill import IDS, LOG_PROBS, DistillConfig, buckets_of
from prospero.objective.losses.divergences import Divergence
from prospero.objective.objective import Objective, Share
from prospero.objective.terms import TokenScores
from tests.objective.fakes import FixedTeacher, TinyModel, gradients, tiny_batch

KINDS, TEMPERATURES = list(Divergence), [0.5, 1.0, 3.0]


class OwnTeacher:
    """A teacher that is the student itself."""

    def __init__(self, model: TinyModel) -> None:
        self.model, self.vocabulary = model, model.vocab_size

    @torch.no_grad()
    def hidden(self, inputs):
        return self.model(inputs["input_ids"]).hidden

    @torch.no_grad()
    def logits(self, hidden):
        return self.model.head(hidden)


def distill(teacher, **settings) -> Objective:
    loss = DistillConfig(**settings).build()
    loss.teacher = teacher
    return Objective({"distill": loss})


def run(objective, model, batch):
    model.zero_grad()
    result = objective(model, batch, Share())
    result.total.backward()
    return result, gradients(model)


def written_out(model, batch, teacher, kind, temperature):
    """The mean over targets, by torch's own kl_div in float64 softmaxes."""
    mask = batch.labels.flatten() != -100
    ours = model(batch.inputs["input_ids"], logits=True).logits.flatten(0, 1)[mask]
    theirs = teacher.logits(teacher.hidden(batch.inputs).flatten(0, 1))[mask].double()
    s, t = (
        F.log_softmax(ours.double()[:, : teacher.vocabulary] / temperature, -1),
        F.log_softmax(theirs / temperature, -1),
    )
    m = ((s.exp() + t.exp()) / 2).log()
    forward = F.kl_div(s, t, reduction="batchmean", log_target=True)
    reverse = F.kl_div(t, s, reduction="batchmean", log_target=True)
    middle = [F.kl_div(m, p, reduction="batchmean", log_target=True) for p in (s, t)]
    loss = {"forward": forward, "reverse": reverse, "jensen_shannon": sum(middle) / 2}[kind.name]
    return temperature**2 * loss


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_loss_and_gradient_are_those_written_out(kind, temperature):
    torch.manual_seed(0)
    model, batch, teacher = TinyModel(), tiny_batch(), FixedTeacher()
    result, found = run(distill(teacher, divergence=kind, temperature=temperature), model, batch)
    model.zero_grad()
    expected = written_out(model, batch, teacher, kind, temperature)
    expected.backward()
    assert result.total.item() == pytest.approx(expected.item(), rel=1e-6) and expected.item() > 0.1
    torch.testing.assert_close(found, gradients(model), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_a_model_has_nothing_to_learn_from_itself(kind, temperature):
    torch.manual_seed(0)
    model, batch = TinyModel(), tiny_batch()
    result, found = run(distill(OwnTeacher(model), divergence=kind, temperature=temperature), model, batch)
    assert result.total.item() == pytest.approx(0.0, abs=1e-6)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-6, msg=name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunk_tokens", [1, 7, 24, None])
def test_chunks_change_nothing_and_bound_what_the_teacher_is_asked(kind, chunk_tokens):
    torch.manual_seed(0)
    model, batch, teacher = TinyModel(), tiny_batch(), FixedTeacher()
    whole = run(distill(FixedTeacher(), divergence=kind, chunk_tokens=None), model, batch)
    chunked = run(distill(teacher, divergence=kind, chunk_tokens=chunk_tokens), model, batch)
    assert max(teacher.asked_tokens) <= (chunk_tokens or 24) and sum(teacher.asked_tokens) == 24
    assert chunked[0].total.item() == pytest.approx(whole[0].total.item(), rel=1e-6)
    torch.testing.assert_close(chunked[1], whole[1], rtol=1e-5, atol=1e-7)


def test_rows_of_padding_are_left_out_on_both_sides():
    """A student with four rows more than there are tokens: their logits have no part in the loss and no gradient."""
    torch.manual_seed(0)
    model, batch, teacher = TinyModel(vocab_size=17), tiny_batch(), FixedTeacher()
    result, found = run(distill(teacher), model, batch)
    model.zero_grad()
    expected = written_out(model, batch, teacher, Divergence.forward, 1.0)
    expected.backward()
    assert result.total.item() == pytest.approx(expected.item(), rel=1e-6)
    torch.testing.assert_close(found, gradients(model), rtol=1e-5, atol=1e-6)
    assert found["head.weight"][13:].abs().max() == 0 and found["head.weight"][:13].abs().max() > 0


def test_with_cross_entropy_it_is_the_weighted_sum():
    torch.manual_seed(0)
    model, batch, teacher = TinyModel(), tiny_batch(), FixedTeacher()
    loss = DistillConfig(weight=0.25, temperature=2.0).build()
    loss.teacher = teacher
    mixed = Objective({"distill": loss, "cross_entropy": CrossEntropyConfig(weight=0.75).build()})
    result, found = run(mixed, model, batch)
    model.zero_grad()
    logits = model(batch.inputs["input_ids"], logits=True).logits.flatten(0, 1)
    text = F.cross_entropy(logits, batch.labels.flatten(), ignore_index=-100)
    (0.25 * written_out(model, batch, teacher, Divergence.forward, 2.0) + 0.75 * text).backward()
    torch.testing.assert_close(found, gradients(model), rtol=1e-5, atol=1e-6)
    assert result.parts.keys() == {"distill", "cross_entropy"}
    assert result.parts["cross_entropy"].item() == pytest.approx(0.75 * text.item(), rel=1e-6)


class Stored:
    """Hands a batch the facts of a store that was made with `teacher`."""

    def __init__(self, teacher, top_k, temperature):
        self.teacher, self.top_k, self.temperature = teacher, top_k, temperature

    def facts(self, batch):
        logits = self.teacher.logits(self.teacher.hidden(batch.inputs).flatten(0, 1))
        ids, kept = buckets_of(torch.log_softmax(logits / self.temperature, -1), self.top_k)
        shape = batch.labels.shape
        return {IDS: ids.int().unflatten(0, shape), LOG_PROBS: kept.unflatten(0, shape)}

    def objective(self, vocabulary=13, **settings):
        loss = DistillConfig(store="a store", temperature=self.temperature, **settings).build()
        loss.vocabulary = vocabulary
        return Objective({"distill": loss})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_all_tokens_stored_are_the_teacher_beside_the_student(kind, temperature):
    torch.manual_seed(0)
    model, batch, teacher = TinyModel(), tiny_batch(), FixedTeacher()
    beside = run(distill(teacher, divergence=kind, temperature=temperature), model, batch)
    stored = Stored(teacher, 13, temperature)
    batch.facts = stored.facts(batch)
    found = run(stored.objective(divergence=kind, chunk_tokens=5), model, batch)
    assert found[0].total.item() == pytest.approx(beside[0].total.item(), rel=1e-6)
    torch.testing.assert_close(found[1], beside[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("top_k", [1, 4, 12])
def test_what_is_not_stored_is_one_bucket(kind, top_k):
    """The divergence of two distributions over the k tokens and `any other`; never more than that of all tokens."""
    torch.manual_seed(0)
    model, batch, teacher = TinyModel(), tiny_batch(), FixedTeacher()
    whole, _ = run(distill(teacher, divergence=kind), model, batch)
    stored = Stored(teacher, top_k, 1.0)
    batch.facts = stored.facts(batch)
    result, found = run(stored.objective(divergence=kind), model, batch)
    model.zero_grad()
    mask = batch.labels.flatten() != -100
    ours = model(batch.inputs["input_ids"], logits=True).logits.flatten(0, 1)[mask].double().softmax(-1)
    theirs = teacher.logits(teacher.hidden(batch.inputs).flatten(0, 1))[mask].double().softmax(-1)
    best = theirs.topk(top_k, -1).indices
    s, t = (torch.cat([p.gather(-1, best), 1 - p.gather(-1, best).sum(-1, keepdim=True)], -1) for p in (ours, theirs))
    m = (s + t) / 2
    kl = {"forward": t * (t / s).log(), "reverse": s * (s / t).log()}
    kl["jensen_shannon"] = (s * (s / m).log() + t * (t / m).log()) / 2
    expected = kl[kind.name].sum(-1).mean()
    expected.backward()
    assert result.total.item() == pytest.approx(expected.item(), rel=1e-5)
    assert result.total.item() <= whole.total.item() + 1e-6
    torch.testing.assert_close(found, gradients(model), rtol=1e-4, atol=1e-6)


def test_half_precision_of_the_store_is_made_to_add_up_again():
    torch.manual_seed(0)
    model, batch, teacher = TinyModel(), tiny_batch(), FixedTeacher()
    stored = Stored(teacher, 4, 1.0)
    facts = stored.facts(batch)
    exact, _ = run(stored.objective(), model, _with(batch, facts))
    too_much = _with(batch, facts | {LOG_PROBS: facts[LOG_PROBS] + 0.1})  # together 1.1
    assert run(stored.objective(), model, too_much)[0].total.item() == pytest.approx(exact.total.item(), rel=1e-5)
    rounded = _with(batch, facts | {LOG_PROBS: facts[LOG_PROBS].half()})
    assert run(stored.objective(), model, rounded)[0].total.item() == pytest.approx(exact.total.item(), rel=2e-3)


def _with(batch, facts):
    batch.facts = facts
    return batch


@pytest.mark.parametrize("store", [None, "a store"])
def test_a_validation_measures_the_text_alone(store):
    """val/loss is the cross-entropy whatever the teacher says, and needs none."""

    class Kept:
        reads = frozenset()

        def update(self, scores, batch):
            self.scores = scores

    torch.manual_seed(0)
    model, batch, metric = TinyModel(), tiny_batch(), Kept()
    losses = {"distill": DistillConfig(store=store, weight=0.25).build()}
    losses["cross_entropy"] = CrossEntropyConfig(weight=0.75).build()
    Objective(losses).measure(model, batch, [metric])
    torch.testing.assert_close(metric.scores.loss, metric.scores.nats)
    assert isinstance(losses["distill"].measured(), CrossEntropy) and metric.scores.nats.min() > 0


def test_autocast_leaves_the_sums_in_float32():
    torch.manual_seed(0)
    model, batch = TinyModel(vocab_size=500, d_model=32), tiny_batch(vocab_size=500)
    objective = distill(FixedTeacher(500))
    exact = objective(model, batch, Share()).total
    with torch.autocast("cpu", torch.bfloat16):
        result = objective(model, batch, Share())
    assert result.total.dtype == torch.float32 and result.total.item() == pytest.approx(exact.item(), rel=3e-3)


def test_buckets_are_the_likeliest_first_and_the_rest():
    log_probs = torch.tensor([[0.1, 0.4, 0.2, 0.3]]).log()
    ids, kept = buckets_of(log_probs, 2)
    assert ids.tolist() == [[1, 3]] and kept.exp().tolist() == [pytest.approx([0.4, 0.3, 0.3])]
    assert buckets_of(log_probs, 4)[1].exp().tolist() == [pytest.approx([0.4, 0.3, 0.2, 0.1, 0.0])]


def test_without_a_teacher_it_says_so():
    scores = TokenScores(torch.zeros(1), *[torch.zeros(1)] * 2, None, None, torch.zeros(1, 3))
    with pytest.raises(ConfigError, match=r"give loss\.distill\.teacher"):
        DistillConfig().build().per_token(scores)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"temperature": 0.0}, "temperature=0.0"),
        ({"temperature": float("nan")}, "temperature=nan"),
        ({"temperature": float("inf")}, "temperature=inf"),
        ({"teacher": "last", "store": "a"}, "leave one out"),
        ({"teacher": " "}, "teacher= is empty"),
        ({"store": ""}, "store= is empty"),
        ({"weight": -1.0}, "weight=-1.0"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        DistillConfig(**settings)
