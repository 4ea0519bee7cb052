"""Objective, clipping and optimisers on two processes under `fully_shard` equal one process on the whole batch."""

import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from prospero.objective.losses.cross_entropy import CrossEntropyConfig
from prospero.objective.objective import Objective, Share
from prospero.objective.regularizers.l1 import L1Config
from prospero.objective.regularizers.l2 import L2Config
from prospero.objective.regularizers.l2_sp import L2SPConfig
from prospero.objective.regularizers.orthogonality import OrthogonalityConfig
from prospero.objective.regularizers.z_loss import ZLossConfig
from prospero.optim.adamw import AdamWConfig
from prospero.optim.clipping import clip_grad_norm_
from prospero.optim.lion import LionConfig
from prospero.optim.muon import MuonConfig
from prospero.optim.newton_schulz import ProductType
from tests.objective.fakes import TinyModel, part, tiny_batch

pytestmark = pytest.mark.processes

STEPS = 3
OPTIMIZERS = {
    "adamw": AdamWConfig(lr=0.01),
    "lion": LionConfig(lr=0.01),
    "muon": MuonConfig(ns_dtype=ProductType.float32),
}


def whole(tensor: torch.Tensor) -> torch.Tensor:
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach().clone()


def train(name: str, chunk_tokens: int | None, rank: int, world: int) -> dict[str, torch.Tensor]:
    """Train a few steps on this rank's share of the batch; return totals, parts, gradients, norms and weights."""
    torch.manual_seed(0)
    model, batch = TinyModel(), tiny_batch(batch_size=4)
    if world > 1:
        mesh = init_device_mesh("cpu", (world,))
        fully_shard(model.blocks[0], mesh=mesh)
        fully_shard(model, mesh=mesh)
    terms = {
        "l2": L2Config(weight=0.1),
        "l1": L1Config(weight=0.01),
        "l2_sp": L2SPConfig(weight=0.5),
        "orthogonality": OrthogonalityConfig(weight=0.01),
        "z_loss": ZLossConfig(weight=0.1),
    }
    loss = CrossEntropyConfig(chunk_tokens=chunk_tokens).build()
    objective = Objective({"cross_entropy": loss}, {term: config.build() for term, config in terms.items()})
    objective.bind(model)
    optimizer = OPTIMIZERS[name].build(model)
    mine = part(batch, rank * (4 // world), (rank + 1) * (4 // world))
    seen: dict[str, torch.Tensor] = {}
    for step in range(STEPS):
        result = objective(model, mine, Share(step=step, gradient_average_over=world))
        result.total.backward()
        if step == STEPS - 1:
            parts = torch.stack(list(result.parts.values()))
            if world > 1:
                dist.all_reduce(parts)
                parts /= world
            seen["parts"] = parts
            seen |= {f"grad.{n}": whole(p.grad) for n, p in model.named_parameters()}
        norm = clip_grad_norm_(model.parameters(), 0.5)
        seen[f"norm.{step}"] = norm.clone()
        seen[f"clipped.{step}"] = clip_grad_norm_(model.parameters(), None).clone()
        optimizer.step()
        optimizer.zero_grad()
    return seen | {f"weight.{n}": whole(p) for n, p in model.named_parameters()}


def mixed_norm() -> torch.Tensor:
    """Norm of gradients of which some are sharded and some plain, all ones."""
    model = TinyModel()
    fully_shard(model.blocks[0], mesh=init_device_mesh("cpu", (2,)))
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    return clip_grad_norm_(model.parameters(), 0.5)


def worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    results = {(name, chunk): train(name, chunk, rank, 2) for name in OPTIMIZERS for chunk in (None, 5)}
    results["mixed"] = mixed_norm()
    torch.save(results, f"{folder}/rank{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory) -> list[dict]:
    folder: Path = tmp_path_factory.mktemp("gloo")
    mp.start_processes(worker, args=(str(folder),), nprocs=2, start_method="spawn")
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("chunk_tokens", [None, 5])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_two_shards_train_as_one_process(two_processes, name, chunk_tokens):
    alone = train(name, chunk_tokens, 0, 1)
    assert alone["norm.0"] > 0.5 and alone["clipped.0"].item() == pytest.approx(0.5, rel=1e-4)
    for results in two_processes:
        shared = results[name, chunk_tokens]
        assert shared.keys() == alone.keys()
        for key, value in alone.items():
            torch.testing.assert_close(shared[key], value, rtol=1e-5, atol=2e-6, msg=lambda m, k=key: f"{k}: {m}")


def test_the_norm_counts_plain_and_sharded_gradients_together(two_processes):
    expected = sum(p.numel() for p in TinyModel().parameters()) ** 0.5
    for results in two_processes:
        assert results["mixed"].item() == pytest.approx(expected, rel=1e-6)
