"""OV and QK circuits: products by hand, and by the attention layer itself; grouped queries."""

import pytest
import torch

from prospero.analysis.dynamics.circuits import Circuit, HeadMatrices
from prospero.analysis.dynamics.matrices import singular_values, update_to_weight


def matrices(n_heads=4, n_kv_heads=2, head_dim=3, d_model=8) -> HeadMatrices:
    draw = torch.Generator().manual_seed(1)
    q, k, v = (torch.randn(n * head_dim, d_model, generator=draw) for n in (n_heads, n_kv_heads, n_kv_heads))
    out = torch.randn(d_model, n_heads * head_dim, generator=draw)
    return HeadMatrices(q=q, k=k, v=v, out=out, head_dim=head_dim)


def test_the_circuits_of_a_head_made_by_hand():
    heads = HeadMatrices(
        q=torch.tensor([[1.0, 0.0], [0.0, 2.0]]),
        k=torch.tensor([[0.0, 3.0]]),
        v=torch.tensor([[5.0, 7.0]]),
        out=torch.tensor([[1.0, 10.0], [2.0, 20.0]]),
        head_dim=1,
    )
    assert heads.n_heads == 2
    assert heads.ov(0).product().tolist() == [[5.0, 7.0], [10.0, 14.0]]
    assert heads.ov(1).product().tolist() == [[50.0, 70.0], [100.0, 140.0]]
    assert heads.qk(0).product().tolist() == [[0.0, 3.0], [0.0, 0.0]]
    assert heads.qk(1).product().tolist() == [[0.0, 0.0], [0.0, 6.0]]


def test_query_heads_that_are_neighbours_share_keys_and_values():
    heads = matrices()
    assert [heads.key_value_head(head) for head in range(4)] == [0, 0, 1, 1]
    assert torch.allclose(heads.ov(2).product(), heads.out[:, 6:9] @ heads.v[3:6])
    assert torch.allclose(heads.qk(1).product(), heads.q[3:6].T @ heads.k[0:3])
    assert [(name, head) for name, head, _ in heads.all()][:3] == [("OV", 0), ("QK", 0), ("OV", 1)]


def test_singular_values_and_numbers_are_those_of_the_product():
    circuit = matrices().ov(1)
    assert torch.allclose(circuit.singular_values(), singular_values(circuit.product())[:3], atol=1e-4)
    numbers = circuit.numbers()
    assert numbers.frobenius_norm == pytest.approx(float(circuit.product().norm()), rel=1e-5)
    assert 1 < numbers.effective_rank <= 3 and numbers.condition_number < 1000


def test_the_update_of_a_circuit_is_that_of_its_product():
    before, after = matrices().qk(0), Circuit(matrices().qk(0).left * 1.25, matrices().qk(3).right)
    assert after.update_from(before) == pytest.approx(update_to_weight(before.product(), after.product()), rel=1e-5)
    assert before.update_from(before) == pytest.approx(0, abs=1e-6)
