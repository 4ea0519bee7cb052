"""Every regulariser against its formula, its schedule, and the parameters it acts on."""

import math

import pytest
import torch
from torch.nn import functional as F

from prospero.batch import IGNORE_INDEX
from prospero.errors import ConfigError
from prospero.objective.losses.cross_entropy import CrossEntropyConfig
from prospero.objective.objective import Objective, Share
from prospero.objective.regularizers.activation import ActivationConfig
from prospero.objective.regularizers.base import ramp
from prospero.objective.regularizers.confidence_penalty import ConfidencePenaltyConfig
from prospero.objective.regularizers.l1 import L1Config
from prospero.objective.regularizers.l2 import L2Config
from prospero.objective.regularizers.l2_sp import L2SPConfig
from prospero.objective.regularizers.label_smoothing import LabelSmoothingConfig
from prospero.objective.regularizers.orthogonality import OrthogonalityConfig, gram_distance
from prospero.objective.regularizers.z_loss import ZLossConfig
from tests.objective.fakes import TinyModel, batch_of, gradients, tiny_batch


def total_of(model, batch, regularizers, step=0):
    objective = Objective({"cross_entropy": CrossEntropyConfig().build()}, regularizers)
    objective.bind(model)
    return objective(model, batch, Share(step=step))


def logits_of(model, batch):
    """Logits and labels of the targets."""
    logits, labels = model(batch.inputs["input_ids"], logits=True).logits.flatten(0, 1), batch.labels.flatten()
    return logits[labels != IGNORE_INDEX], labels[labels != IGNORE_INDEX]


@pytest.mark.parametrize("epsilon", [0.1, 0.7])
def test_label_smoothing_is_torchs(epsilon):
    torch.manual_seed(0)
    model, batch = TinyModel(), tiny_batch()
    result = total_of(model, batch, {"label_smoothing": LabelSmoothingConfig(weight=epsilon).build()})
    result.total.backward()
    found = gradients(model)
    model.zero_grad()
    expected = F.cross_entropy(*logits_of(model, batch), label_smoothing=epsilon)
    expected.backward()
    torch.testing.assert_close(result.total, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(found, gradients(model), rtol=1e-5, atol=1e-7)


def test_z_loss_and_confidence_penalty_are_their_formulas():
    torch.manual_seed(0)
    model, batch = TinyModel(), tiny_batch()
    terms = {
        "z_loss": ZLossConfig(weight=0.5).build(),
        "confidence_penalty": ConfidencePenaltyConfig(weight=2.0).build(),
    }
    result = total_of(model, batch, terms)
    result.total.backward()
    found = gradients(model)
    model.zero_grad()
    logits, labels = logits_of(model, batch)
    z_loss = 0.5 * logits.logsumexp(-1).square().mean()
    penalty = 2.0 * -torch.distributions.Categorical(logits=logits).entropy().mean()
    (F.cross_entropy(logits, labels) + z_loss + penalty).backward()
    torch.testing.assert_close(result.parts["z_loss"], z_loss.detach())
    torch.testing.assert_close(result.parts["confidence_penalty"], penalty.detach())
    torch.testing.assert_close(found, gradients(model), rtol=1e-5, atol=1e-7)


def test_parameter_terms_leave_norms_biases_and_embeddings_out():
    torch.manual_seed(0)
    model, batch = TinyModel(), tiny_batch()
    weights = [model.blocks[0].weight.detach(), model.head.weight.detach()]
    formulas = {
        "l2": sum(0.5 * w.square().sum() for w in weights),
        "l1": sum(w.abs().sum() for w in weights),
        "orthogonality": sum(gram_distance(w) for w in weights),
    }
    terms = {"l2": L2Config(weight=1.0), "l1": L1Config(weight=1.0), "orthogonality": OrthogonalityConfig(weight=1.0)}
    for name, config in terms.items():
        parts = total_of(model, batch, {name: config.build()}).parts
        torch.testing.assert_close(parts[name], formulas[name])


def test_l2_is_torchs_coupled_weight_decay():
    """weight lambda moves the decayed weights exactly as SGD(weight_decay=lambda) does."""
    torch.manual_seed(0)
    model = TinyModel()
    term = L2Config(weight=0.3).build()
    term.bind({"w": model.head.weight})
    (0.3 * term.value()).backward()
    torch.testing.assert_close(model.head.weight.grad, 0.3 * model.head.weight.detach())


def test_orthogonality_is_zero_for_orthonormal_rows_or_columns():
    q = torch.linalg.qr(torch.randn(9, 4))[0]
    assert gram_distance(q) < 1e-10 and gram_distance(q.T) < 1e-10
    assert gram_distance(2 * torch.eye(3)).item() == pytest.approx(27.0)


def test_l2_sp_measures_from_the_start_and_survives_a_resume():
    torch.manual_seed(0)
    model, batch = TinyModel(), tiny_batch()
    objective = Objective({"cross_entropy": CrossEntropyConfig().build()}, {"l2_sp": L2SPConfig(weight=1.0).build()})
    objective.bind(model)

    def part(o, m):
        return o(m, batch, Share()).parts["l2_sp"].item()

    assert part(objective, model) == 0
    with torch.no_grad():
        model.head.weight += 0.5
        model.norm.weight += 1.0
    expected = 0.5 * 0.25 * model.head.weight.numel()
    assert part(objective, model) == pytest.approx(expected, rel=1e-5)
    resumed = Objective({"cross_entropy": CrossEntropyConfig().build()}, {"l2_sp": L2SPConfig(weight=1.0).build()})
    resumed.bind(model)
    assert part(resumed, model) == 0
    resumed.load_state_dict(objective.state_dict())
    assert part(resumed, model) == pytest.approx(expected, rel=1e-5)


def test_activation_is_ar_and_tar_over_targets_within_documents():
    hidden = torch.tensor([[[1.0, 1.0], [3.0, 1.0], [0.0, 2.0]]])
    term = ActivationConfig(ar=2.0, tar=1.0).build()
    all_targets = torch.zeros(1, 3, dtype=torch.long)
    ar, first, second = (1 + 5 + 2), 2.0, 5.0
    assert term.token_sum(hidden, batch_of(all_targets, all_targets)).item() == pytest.approx(2 * ar + first + second)
    documents = torch.tensor([[0, 0, 1]])
    cut = batch_of(all_targets, all_targets, document_ids=documents)
    assert term.token_sum(hidden, cut).item() == pytest.approx(2 * ar + first)
    masked = batch_of(all_targets, torch.tensor([[0, IGNORE_INDEX, 0]]))
    assert term.token_sum(hidden, masked).item() == pytest.approx(2 * (1 + 2) + second)


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 0), (9, 0), (10, 0), (11, 0.25), (12, 0.5), (14, 1), (19, 1), (20, 0)]
)
def test_ramp(step, expected):
    assert ramp(step, 10, 4, 20) == expected


def test_ramp_without_warm_up_is_a_switch():
    assert [ramp(step, 2, 0, None) for step in range(4)] == [0, 0, 1, 1]


def test_a_scheduled_weight_scales_the_logged_part():
    torch.manual_seed(0)
    model, batch = TinyModel(), tiny_batch()
    terms = {"z_loss": ZLossConfig(weight=0.5, start_step=10, warmup_steps=4).build()}
    full = total_of(model, batch, terms, step=50).parts["z_loss"].item()
    assert total_of(model, batch, terms, step=9).parts["z_loss"].item() == 0
    assert total_of(model, batch, terms, step=11).parts["z_loss"].item() == pytest.approx(full / 4, rel=1e-6)


@pytest.mark.parametrize(
    ("build", "word"),
    [
        (lambda: L2Config(weight=-1.0), "weight=-1.0"),
        (lambda: L2Config(weight=math.nan), "weight=nan"),
        (lambda: L1Config(start_step=5, stop_step=5), "stop_step=5"),
        (lambda: ZLossConfig(warmup_steps=-1), "warmup_steps=-1"),
        (lambda: LabelSmoothingConfig(weight=1.5), "weight=1.5"),
        (lambda: ActivationConfig(tar=-1.0), "tar=-1.0"),
    ],
)
def test_impossible_settings_name_themselves(build, word):
    with pytest.raises(ConfigError, match=word):
        build()
