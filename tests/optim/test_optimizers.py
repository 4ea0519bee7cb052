"""Each optimiser against its formula or torch's own, its state, and its settings."""

import copy
import dataclasses
import math

import pytest
import torch
from torch import nn

from prospero import registry
from prospero.errors import ConfigError
from prospero.model.transformer import TransformerConfig
from prospero.optim.adafactor import AdafactorConfig
from prospero.optim.adam import AdamConfig
from prospero.optim.adamw import AdamWConfig
from prospero.optim.lion import Lion, LionConfig
from prospero.optim.muon import LrScale, MuonConfig, momentum_at
from prospero.optim.newton_schulz import ProductType, orthogonalize, product_dtype
from prospero.optim.schedule_free import ScheduleFreeConfig
from prospero.optim.schedules.linear import LinearConfig
from prospero.optim.sgd import SGDConfig
from prospero.optim.soap import SOAPConfig
from tests.objective.fakes import TinyModel

CONFIGS = {name: registry.config_class("optimizer", name)() for name in registry.names("optimizer")} | {
    "adam": AdamConfig(weight_decay=0.1),
    "sgd": SGDConfig(nesterov=True, weight_decay=0.1),
    "adafactor": AdafactorConfig(weight_decay=0.1),
    "soap": SOAPConfig(refresh_steps=2),
    "schedule_free": ScheduleFreeConfig(warmup_steps=3),
}
"""Every registered optimiser, with settings that show more where there are some."""


def take_steps(model: nn.Module, optimizer: torch.optim.Optimizer, n: int, seed: int = 1) -> None:
    """Steps with random gradients, the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(n):
        for p in model.parameters():
            p.grad = torch.randn(p.shape, generator=generator)
        optimizer.step()


@pytest.mark.parametrize("name", CONFIGS)
def test_state_survives_a_round_trip_through_a_file(name, tmp_path):
    torch.manual_seed(0)
    model = TinyModel()
    optimizer = CONFIGS[name].build(model)
    take_steps(model, optimizer, 3)
    torch.save((model.state_dict(), optimizer.state_dict()), tmp_path / "state.pt")
    weights, state = torch.load(tmp_path / "state.pt", weights_only=True)
    other = TinyModel()
    other.load_state_dict(weights)
    resumed = CONFIGS[name].build(other)
    resumed.load_state_dict(state)
    take_steps(model, optimizer, 3, seed=2)
    take_steps(other, resumed, 3, seed=2)
    for key, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[key]), key


@pytest.mark.parametrize("name", ["adafactor", "soap", "schedule_free"])
def test_state_of_bfloat16_weights_is_float32_and_stays_it(name):
    model = TinyModel().bfloat16()
    optimizer = CONFIGS[name].build(model)
    for seed in range(2):
        generator = torch.Generator().manual_seed(seed)
        for p in model.parameters():
            p.grad = torch.randn(p.shape, generator=generator).bfloat16()
        optimizer.step()
    loaded = CONFIGS[name].build(model)
    loaded.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert model.head.weight.dtype is torch.bfloat16
    for p in model.parameters():
        for key, value in optimizer.state[p].items():
            assert value.dtype is torch.float32 and torch.equal(loaded.state[p][key], value), key
            assert loaded.state[p][key] is not value


@pytest.mark.parametrize("name", CONFIGS)
def test_a_step_that_is_skipped_in_the_closure_changes_nothing(name):
    model = TinyModel()
    optimizer = CONFIGS[name].build(model)
    take_steps(model, optimizer, 2)
    weights = [p.detach().clone() for p in model.parameters()]
    state = copy.deepcopy(optimizer.state_dict())

    def skips():
        raise InterruptedError

    with pytest.raises(InterruptedError):
        optimizer.step(skips)
    assert all(torch.equal(p, w) for p, w in zip(model.parameters(), weights))
    after = optimizer.state_dict()
    assert after["param_groups"] == state["param_groups"]
    for number, values in state["state"].items():
        for key, value in values.items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(after["state"][number][key]))


@pytest.mark.parametrize("name", ["adafactor", "soap", "schedule_free"])
def test_decay_leaves_out_norms_biases_and_embeddings(name):
    model = TinyModel()
    optimizer = dataclasses.replace(CONFIGS[name], weight_decay=0.3).build(model)
    groups = {group["name"]: group for group in optimizer.param_groups}
    assert [groups[name]["weight_decay"] for name in ("decay", "no_decay")] == [0.3, 0.0]
    decayed = [model.blocks[0].weight, model.head.weight]
    assert all(any(p is d for d in decayed) for p in groups["decay"]["params"]) and len(groups["decay"]["params"]) == 2


@pytest.mark.parametrize("name", CONFIGS)
def test_a_copied_optimizer_goes_its_own_way(name):
    model = TinyModel()
    optimizer = CONFIGS[name].build(model)
    take_steps(model, optimizer, 1)
    copied_model, copied = copy.deepcopy((model, optimizer))
    before = [p.detach().clone() for p in model.parameters()]
    take_steps(copied_model, copied, 1)
    assert all(torch.equal(p, b) for p, b in zip(model.parameters(), before))
    assert all(not torch.equal(p, q) for p, q in zip(model.parameters(), copied_model.parameters()))


@pytest.mark.parametrize("name", CONFIGS)
def test_every_group_follows_the_schedule_from_its_own_rate(name):
    optimizer = CONFIGS[name].build(TinyModel())
    peaks = [group["lr"] for group in optimizer.param_groups]
    schedule = LinearConfig(warmup_steps=0).build(optimizer, 4)
    optimizer.step()
    schedule.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.75 * peak for peak in peaks])


@pytest.mark.parametrize("name", CONFIGS)
def test_it_learns(name):
    torch.manual_seed(0)
    model = TinyModel()
    optimizer = CONFIGS[name].build(model)
    ids = torch.arange(12)[None]
    losses = []
    for _ in range(100):
        loss = nn.functional.cross_entropy(model(ids, logits=True).logits[0], ids[0] + 1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.01


def test_adamw_decay_is_apart_from_the_gradient_and_adams_is_in_it():
    for config, decoupled in (
        (AdamWConfig(lr=0.1, weight_decay=0.5), True),
        (AdamConfig(lr=0.1, weight_decay=0.5), False),
    ):
        model = TinyModel()
        before = model.head.weight.detach().clone()
        optimizer = config.build(model)
        for p in model.parameters():
            p.grad = torch.zeros_like(p)
        optimizer.step()
        expected = before * (1 - 0.1 * 0.5) if decoupled else before - 0.1 * before.sign()
        torch.testing.assert_close(model.head.weight.detach(), expected, rtol=1e-4, atol=1e-5)


def test_adamw_is_fused_on_a_device_that_has_it():
    assert AdamWConfig().build(TinyModel()).param_groups[0]["fused"] is True


def test_lion_is_its_formula():
    p = nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = Lion([p], lr=0.1, betas=(0.9, 0.5), weight_decay=0.5)
    p.grad = torch.tensor([3.0, -1.0])
    optimizer.step()
    torch.testing.assert_close(p.detach(), torch.tensor([1 - 0.05 - 0.1, -2 + 0.1 + 0.1]))
    p.grad = torch.tensor([-1.0, -1.0])
    before = p.detach().clone()
    optimizer.step()  # momentum (1.5, -0.5); 0.9 m + 0.1 g = (1.25, -0.55)
    torch.testing.assert_close(p.detach(), before * 0.95 - 0.1 * torch.tensor([1.0, -1.0]))


class Matrices(nn.Module):
    """Matrices of every kind of shape, a norm, an embedding and a head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(11, 16)
        shapes = [(16, 16), (16, 16), (48, 16), (16, 48), (48, 16), (24, 40)]
        self.blocks = nn.ModuleList([nn.Linear(n, m) for m, n in shapes])
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, 11, bias=False)

    def output_weight(self) -> torch.Tensor:
        return self.head.weight


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("scale", list(LrScale))
def test_muon_is_torchs_muon_and_adamw(nesterov, scale):
    ours, theirs = Matrices(), Matrices()
    settings = {"weight_decay": 0.1, "ns_dtype": ProductType.bfloat16, "momentum_warmup_steps": 0}  # torch's has none
    config = MuonConfig(nesterov=nesterov, lr_scale=scale, adamw_lr=6e-3, **settings)
    optimizer = config.build(ours)
    matrices = [block.weight for block in theirs.blocks]
    rest = [p for p in theirs.parameters() if not any(p is m for m in matrices)]
    muon = torch.optim.Muon(matrices, lr=0.02, weight_decay=0.1, nesterov=nesterov, adjust_lr_fn=scale.value)
    head = {"params": [theirs.head.weight], "weight_decay": 0.1}
    others = {"params": [p for p in rest if p is not theirs.head.weight], "weight_decay": 0.0}
    adamw = torch.optim.AdamW([head, others], lr=6e-3, betas=(0.9, 0.95), fused=True)
    start = Matrices()
    for step in range(5):
        take_steps(ours, optimizer, 1, seed=step)
        for p, q in zip(ours.parameters(), theirs.parameters()):
            q.grad = p.grad.clone()
        muon.step()
        adamw.step()
    for (name, p), q, s in zip(ours.named_parameters(), theirs.parameters(), start.parameters()):
        error = (p - q).norm() / (q - s).norm()
        is_matrix = any(q is m for m in matrices)
        assert error < (2e-2 if is_matrix else 1e-6), name  # bfloat16 products in another order


def test_muons_momentum_rises_and_goes_on_after_a_resume():
    assert [momentum_at(step, 0.95, 4) for step in (0, 1, 2, 4, 9)] == pytest.approx([0.85, 0.875, 0.9, 0.95, 0.95])
    assert momentum_at(0, 0.5, 4) == 0.5 and momentum_at(0, 0.95, 0) == 0.95
    model = Matrices()
    optimizer = MuonConfig(momentum_warmup_steps=4, adamw_lr=6e-3).build(model)
    weight = model.blocks[0].weight
    buffer = torch.zeros_like(weight)
    for step in range(6):
        if step == 3:
            state = optimizer.state_dict()
            optimizer = MuonConfig(momentum_warmup_steps=4, adamw_lr=6e-3).build(model)
            optimizer.load_state_dict(state)
        take_steps(model, optimizer, 1, seed=step)
        buffer.lerp_(weight.grad, 1 - momentum_at(step, 0.95, 4))
        torch.testing.assert_close(optimizer.state[weight]["momentum_buffer"], buffer)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_orthogonalize_brings_singular_values_near_one(dtype):
    torch.manual_seed(0)
    matrices = [torch.randn(20, 30), torch.randn(30, 20), torch.randn(20, 20), 100 * torch.randn(30, 20)]
    for matrix, result in zip(matrices, orthogonalize(matrices, 5, dtype)):
        assert result.shape == matrix.shape and result.dtype == dtype
        values = torch.linalg.svdvals(result.float())
        assert values.min() > 0.3 and values.max() < 1.3
        assert (result.float() * matrix).sum() > 0.7 * torch.linalg.svdvals(matrix).sum()


def test_orthogonalize_of_zero_is_zero():
    assert not orthogonalize([torch.zeros(4, 5)], 5, torch.float32)[0].any()


def test_auto_products_follow_the_precision_of_the_run():
    def product_type(setting: ProductType, compute: torch.dtype) -> str:
        model = TransformerConfig(n_layers=1, d_model=8, n_heads=2).build(11, 4)
        assert model.compute_dtype is torch.float32
        model.compute_dtype = compute
        return MuonConfig(ns_dtype=setting).build(model).param_groups[0]["ns_dtype"]

    assert product_type(ProductType.auto, torch.float32) == "float32"
    assert product_type(ProductType.auto, torch.bfloat16) == "auto"  # at the step: bfloat16 if the processor has it
    assert product_type(ProductType.bfloat16, torch.float32) == "bfloat16"
    assert product_type(ProductType.float32, torch.bfloat16) == "float32"


def test_product_type_is_as_asked():
    cpu = torch.device("cpu")
    assert product_dtype(ProductType.float32, cpu) is torch.float32
    assert product_dtype(ProductType.bfloat16, cpu) is torch.bfloat16
    assert product_dtype(ProductType.auto, torch.device("cuda")) is torch.bfloat16


@pytest.mark.parametrize(
    ("build", "word"),
    [
        (lambda: AdamWConfig(lr=-1.0), "lr=-1.0"),
        (lambda: AdamWConfig(lr=math.nan), "lr=nan"),
        (lambda: AdamWConfig(betas=[0.9]), "betas="),
        (lambda: AdamConfig(betas=[0.9, 1.0]), "betas="),
        (lambda: SGDConfig(momentum=1.0), "momentum=1.0"),
        (lambda: SGDConfig(momentum=0.0, nesterov=True), "nesterov"),
        (lambda: LionConfig(weight_decay=-0.1), "weight_decay=-0.1"),
        (lambda: MuonConfig(ns_steps=0), "ns_steps=0"),
        (lambda: MuonConfig(momentum_warmup_steps=-1), "momentum_warmup_steps=-1"),
        (lambda: MuonConfig(adamw_betas=[1.0, 0.9]), "adamw_betas="),
        (lambda: AdafactorConfig(beta2_decay=0.0), "beta2_decay=0.0"),
        (lambda: AdafactorConfig(clip_rms=0.0), "clip_rms=0.0"),
        (lambda: SOAPConfig(refresh_steps=0), "refresh_steps=0"),
        (lambda: SOAPConfig(max_side=0), "max_side=0"),
        (lambda: ScheduleFreeConfig(warmup_steps=-1), "warmup_steps=-1"),
        (lambda: ScheduleFreeConfig(betas=[0.9, 1.0]), "betas="),
    ],
)
def test_impossible_settings_name_themselves(build, word):
    with pytest.raises(ConfigError, match=word):
        build()
