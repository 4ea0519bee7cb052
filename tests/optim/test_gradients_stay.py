"""No optimiser writes into the gradients: a checkpoint may keep them after the step."""

import pytest
import torch

from prospero import registry
from prospero.model.transformer import TransformerConfig


@pytest.mark.parametrize("name", registry.names("optimizer"))
def test_a_step_leaves_the_gradients_as_they_are(name):
    torch.manual_seed(0)
    model = TransformerConfig(n_layers=1, d_model=16, n_heads=2).build(31, 16)
    optimizer = registry.config_class("optimizer", name)().build(model)
    for _ in range(2):
        output = model(torch.randint(31, (2, 8)))
        output.logits.square().mean().backward()
        held = [p.grad for p in model.parameters() if p.grad is not None]
        before = [gradient.clone() for gradient in held]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        assert held and all(torch.equal(a, b) for a, b in zip(held, before))
