"""The sum over micro-steps of the mean over ranks of `total` is the objective of the whole batch."""

import pytest
import torch
from torch.nn import functional as F

from prospero.batch import IGNORE_INDEX
from prospero.errors import ConfigError, DataError
from prospero.objective.losses.cross_entropy import CrossEntropyConfig
from prospero.objective.objective import Objective
from prospero.objective.regularizers.activation import ActivationConfig
from prospero.objective.regularizers.confidence_penalty import ConfidencePenaltyConfig
from prospero.objective.regularizers.l2 import L2Config
from prospero.objective.regularizers.label_smoothing import LabelSmoothingConfig
from prospero.objective.regularizers.z_loss import ZLossConfig
from tests.objective.fakes import TinyModel, gradients, targets, tiny_batch


def everything(chunk_tokens: int | None = None) -> Objective:
    return Objective(
        CrossEntropyConfig(chunk_tokens=chunk_tokens).build(),
        {
            "z_loss": ZLossConfig(weight=0.3).build(),
            "label_smoothing": LabelSmoothingConfig(weight=0.1).build(),
            "confidence_penalty": ConfidencePenaltyConfig(weight=0.2).build(),
            "activation": ActivationConfig(weight=0.5).build(),
            "l2": L2Config(weight=0.01).build(),
        },
    )


def run(objective: Objective, model: TinyModel, batch: dict, **facts) -> tuple[float, dict, dict]:
    model.zero_grad()
    objective.bind(model)
    facts = {"step": 0, "target_tokens": targets(batch), **facts}
    result = objective(model, model(batch["input_ids"]), batch, **facts)
    result.total.backward()
    return result.total.item(), {n: v.item() for n, v in result.parts.items()}, gradients(model)


@pytest.mark.parametrize("given_logits", [False, True])
def test_cross_entropy_alone_is_torchs_mean(given_logits):
    torch.manual_seed(0)
    model, batch = TinyModel(), tiny_batch()
    objective = Objective(CrossEntropyConfig().build())
    result = objective(
        model, model(batch["input_ids"], logits=given_logits), batch, step=0, target_tokens=targets(batch)
    )
    result.total.backward()
    found = gradients(model)
    model.zero_grad()
    logits = model(batch["input_ids"], logits=True).logits
    expected = F.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten(), ignore_index=IGNORE_INDEX)
    expected.backward()
    torch.testing.assert_close(result.total, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(found, gradients(model), rtol=1e-5, atol=1e-8)
    assert result.parts.keys() == {"cross_entropy"}


def test_logits_that_are_given_are_left_whole():
    model, batch = TinyModel(), tiny_batch()
    output = model(batch["input_ids"], logits=True)
    before = output.logits.detach().clone()
    Objective(CrossEntropyConfig().build())(model, output, batch, step=0, target_tokens=5).total.backward()
    assert torch.equal(output.logits, before)


def test_parts_add_up_to_the_total():
    torch.manual_seed(0)
    total, parts, _ = run(everything(), TinyModel(), tiny_batch())
    assert total == pytest.approx(sum(parts.values()), rel=1e-6)
    assert set(parts) == {"cross_entropy", "z_loss", "label_smoothing", "confidence_penalty", "activation", "l2"}
    assert all(value != 0 for value in parts.values())


def test_micro_steps_and_ranks_add_up_to_the_whole_batch():
    """Four uneven pieces as 2 ranks x 2 micro-steps: sum over micro-steps of the mean over ranks."""
    torch.manual_seed(0)
    model, batch, objective = TinyModel(), tiny_batch(batch_size=8), everything()
    objective.bind(model)
    total, parts, grads = run(objective, model, batch)
    pieces = [{k: v[i : i + 2] for k, v in batch.items()} for i in range(0, 8, 2)]
    assert len({targets(piece) for piece in pieces}) > 1
    sum_total, sum_parts = 0.0, dict.fromkeys(parts, 0.0)
    sum_grads = {n: torch.zeros_like(g) for n, g in grads.items()}
    for i, piece in enumerate(pieces):
        facts = {"target_tokens": targets(batch), "last_micro_step": i >= 2, "gradient_average_over": 2}
        piece_total, piece_parts, piece_grads = run(objective, model, piece, **facts)
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
    objective = Objective(CrossEntropyConfig(chunk_tokens=5).build())
    once = run(objective, model, batch)[2]
    model.zero_grad()
    (3 * objective(model, model(batch["input_ids"]), batch, step=0, target_tokens=targets(batch)).total).backward()
    torch.testing.assert_close(gradients(model), {n: 3 * g for n, g in once.items()}, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("chunk_tokens", [None, 7])
def test_bf16_autocast_reduces_in_float32(chunk_tokens):
    torch.manual_seed(0)
    model, batch = TinyModel(vocab_size=999, d_model=64), tiny_batch(vocab_size=999)
    objective = Objective(CrossEntropyConfig(chunk_tokens=chunk_tokens).build(), {"z_loss": ZLossConfig().build()})
    exact = run(objective, model, batch)
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        result = objective(model, model(batch["input_ids"]), batch, step=0, target_tokens=targets(batch))
    result.total.backward()
    assert result.total.dtype == torch.float32
    assert result.total.item() == pytest.approx(exact[0], rel=2e-3)
    for name, grad in gradients(model).items():
        error = (grad - exact[2][name]).norm() / exact[2][name].norm().clamp(min=1e-9)
        assert error < 2e-2, name


def test_loss_sum_is_the_loss_alone():
    model, batch = TinyModel(), tiny_batch()
    nats, count = everything(chunk_tokens=5).loss_sum(model, model(batch["input_ids"]), batch["labels"])
    logits = model(batch["input_ids"], logits=True).logits
    expected = F.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten(), ignore_index=-100, reduction="sum")
    torch.testing.assert_close(nats, expected)
    assert count == targets(batch) and not nats.requires_grad


def test_a_micro_batch_without_targets_gives_zero():
    model, batch = TinyModel(), tiny_batch()
    batch["labels"][:] = IGNORE_INDEX
    total, _, grads = run(Objective(CrossEntropyConfig().build()), model, batch, target_tokens=7)
    assert total == 0 and all(not g.any() for g in grads.values())


def test_a_global_batch_without_targets_is_refused():
    model, batch = TinyModel(), tiny_batch()
    with pytest.raises(DataError, match="no target"):
        Objective(CrossEntropyConfig().build())(model, model(batch["input_ids"]), batch, step=0, target_tokens=0)


def test_parameter_terms_need_bind():
    model, batch = TinyModel(), tiny_batch()
    with pytest.raises(RuntimeError, match="bind"):
        everything()(model, model(batch["input_ids"]), batch, step=0, target_tokens=9)


def test_impossible_settings_are_one_line():
    with pytest.raises(ConfigError, match="chunk_tokens=0"):
        CrossEntropyConfig(chunk_tokens=0)
    with pytest.raises(ConfigError, match="name of the loss"):
        Objective(CrossEntropyConfig().build(), {"cross_entropy": ZLossConfig().build()})
