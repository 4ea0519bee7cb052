"""The layers written by hand give the values and gradients of torch's own."""

import pytest
import torch
from torch.nn import functional as F

from prospero.model.layers.attention import AttentionKernel, attend, causal_mask, document_mask, positions_in
from prospero.model.layers.feed_forward import Activation, apply_activation, default_d_ff
from prospero.model.layers.norms import RMSNorm
from prospero.model.layers.rotary import rotate, rotation


def gradients(output: torch.Tensor, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(5), dtype=output.dtype)
    return [output.detach(), *torch.autograd.grad(output, inputs, weights)]


@pytest.mark.heavy
def test_rms_norm_equals_torch() -> None:
    torch.manual_seed(0)
    norm = RMSNorm(48, 1e-5).double()
    torch.nn.init.normal_(norm.weight)
    x = torch.randn(2, 7, 48, dtype=torch.float64, requires_grad=True)
    ours = gradients(norm(x), [x, norm.weight])
    theirs = gradients(F.rms_norm(x, (48,), norm.weight, 1e-5), [x, norm.weight])
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a, b)
    assert torch.autograd.gradcheck(norm, (x,))


def test_rms_norm_of_narrow_numbers_is_computed_in_float32() -> None:
    x = (torch.randn(4, 64) * 100).bfloat16()
    expected = F.rms_norm(x.float(), (64,), None, 1e-5).bfloat16()
    assert torch.equal(RMSNorm(64, 1e-5)(x), expected)


def test_rotation_of_known_angles() -> None:
    cos, sin = rotation(torch.tensor([0, 3]), width=4, theta=100.0)
    x = torch.tensor([[[[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]]]])
    turned = rotate(x, cos, sin)[0, 0]
    assert torch.equal(turned[0], x[0, 0, 0])
    a, b = torch.tensor(3.0), torch.tensor(0.3)  # position 3, wavelengths 1 and sqrt(100)
    expected = [a.cos() - 3 * a.sin(), 2 * b.cos() - 4 * b.sin(), 3 * a.cos() + a.sin(), 4 * b.cos() + 2 * b.sin()]
    torch.testing.assert_close(turned[1], torch.stack(expected))


def test_rotation_has_the_right_gradient_and_keeps_lengths() -> None:
    x = torch.randn(1, 2, 5, 8, dtype=torch.float64).transpose(1, 2).requires_grad_()
    cos, sin = (part.double() for part in rotation(torch.arange(2), 8, 10000.0))
    assert torch.autograd.gradcheck(lambda x: rotate(x, cos, sin), (x,))
    torch.testing.assert_close(rotate(x, cos, sin).norm(dim=-1), x.norm(dim=-1))


@pytest.mark.parametrize("time", [1, 5, 64, 150])
@pytest.mark.parametrize("kv_heads", [4, 2])
def test_explicit_attention_equals_sdpa(time: int, kv_heads: int) -> None:
    torch.manual_seed(0)
    q, k, v = (
        torch.randn(2, time, heads, 8, dtype=torch.float64).transpose(1, 2).requires_grad_()
        for heads in (4, kv_heads, kv_heads)
    )
    documents = torch.arange(time).div(7, rounding_mode="floor").expand(2, time)
    for mask, causal in ((None, True), (document_mask(documents, torch.float64), False)):
        sdpa, explicit = (
            gradients(attend(q, k, v, mask, causal, 0.0, kernel), [q, k, v])
            for kernel in (AttentionKernel.sdpa, AttentionKernel.explicit)
        )
        for a, b in zip(explicit, sdpa):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("kernel", [AttentionKernel.sdpa, AttentionKernel.explicit])
def test_dropout_of_attention_keeps_the_mean(kernel: AttentionKernel) -> None:
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 2, 16, 8).unbind()
    v = torch.ones(1, 2, 16, 8)
    mean = torch.stack([attend(q, k, v, None, True, 0.5, kernel) for _ in range(300)]).mean(0)
    assert (mean - 1).abs().mean() < 0.1
    assert not torch.equal(attend(q, k, v, None, True, 0.5, kernel), attend(q, k, v, None, True, 0.5, kernel))


def test_masks() -> None:
    inf = float("inf")
    assert causal_mask(2, torch.float32, torch.device("cpu")).tolist() == [[0, -inf], [0, 0]]
    mask = document_mask(torch.tensor([[7, 7, 2]]), torch.float32)
    assert mask.tolist() == [[[[0, -inf, -inf], [0, 0, -inf], [-inf, -inf, 0]]]]


@pytest.mark.parametrize(
    ("activation", "width", "expected"),
    [
        (Activation.gelu, 96, 384),
        (Activation.relu2, 96, 384),
        (Activation.swiglu, 192, 512),
        (Activation.swiglu, 64, 192),
    ],
)
def test_width_of_the_feed_forward_layer(activation: Activation, width: int, expected: int) -> None:
    assert default_d_ff(activation, width) == expected


def test_positions_begin_anew_with_each_document():
    starts = torch.tensor([[1, 0, 0, 1, 1, 0], [1, 0, 0, 0, 0, 0]], dtype=torch.bool)
    assert positions_in(starts).tolist() == [[0, 1, 2, 0, 0, 1], [0, 1, 2, 3, 4, 5]]


def test_relu2_and_its_gradient_are_those_of_the_two_operations_bit_for_bit():
    x = torch.randn(3, 5, 16, requires_grad=True)
    upstream = torch.randn(3, 5, 16)
    plain = F.relu(x).square()
    (wanted,) = torch.autograd.grad(plain, x, upstream)
    fast = apply_activation(Activation.relu2, x)
    (found,) = torch.autograd.grad(fast, x, upstream)
    assert torch.equal(fast, plain) and torch.equal(found, wanted)
    assert torch.equal(apply_activation(Activation.relu2, x.detach()), plain)
