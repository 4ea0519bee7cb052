"""The frozen reference stands in for the model and leaves no trace."""

import pytest
import torch

from prospero.model.adapters.lora import LoRAConfig
from prospero.model.transformer import TransformerConfig
from prospero.training.rollouts.reference import Reference

IDS = torch.arange(6).view(1, 6)


def logits(model):
    with torch.no_grad():
        return model(IDS).logits


@pytest.mark.parametrize("adapted", [False, True])
def test_inside_it_is_the_model_of_then_and_after_that_of_now(adapted):
    torch.manual_seed(0)
    model = TransformerConfig(n_layers=1, d_model=16, n_heads=2).build(11, 8).eval()
    plain = logits(model)
    if adapted:
        LoRAConfig(rank=2).build().apply(model)
    before = logits(model)
    reference = Reference(model)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1)
    after = logits(model)
    assert not torch.equal(before, after)
    with reference.in_place(model):
        assert torch.equal(logits(model), before)
    assert torch.equal(logits(model), after)
    assert torch.allclose(before, plain), "with an adapter the reference is the model without it"
    if adapted:
        assert all(".lora_" in name for name in reference.weights), "nothing of the frozen model is copied"


def test_it_is_loaded_again():
    model = TransformerConfig(n_layers=1, d_model=16, n_heads=2).build(11, 8).eval()
    saved, before = dict(Reference(model).weights), logits(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.5)
    reference = Reference(model)
    reference.load(saved)
    with reference.in_place(model):
        assert torch.equal(logits(model), before)
