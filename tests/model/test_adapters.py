"""Adapters: what is trained, what is added, and that it folds into the weights again."""

import pytest
import torch
from torch.nn import functional as F

from prospero.errors import ConfigError
from prospero.model.adapters.freeze import FreezeConfig
from prospero.model.adapters.lora import LoRAConfig, LoRALinear
from prospero.model.adapters.none import NoAdapterConfig
from prospero.model.base import LanguageModel
from prospero.model.size import count_parameters, flops_per_token
from tests.model.variants import CONFIGS, SEQ_LEN, VOCAB, build


def tokens(batch: int = 2) -> torch.Tensor:
    return torch.randint(VOCAB, (batch, SEQ_LEN), generator=torch.Generator().manual_seed(1))


def trained(model: LanguageModel) -> list[str]:
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


@pytest.mark.parametrize("name", CONFIGS)
def test_lora_begins_as_the_model_and_folds_in_to_the_same_logits(name):
    model = build(name).eval()
    names, before = set(model.state_dict()), model(tokens()).logits
    adapter = LoRAConfig(rank=3, alpha=6.0).build()
    adapter.apply(model)
    assert torch.equal(model(tokens()).logits, before)

    state = model.state_dict()
    added = adapter.added(state)
    assert trained(model) == list(added) and all(".lora_" in name for name in added)
    assert {adapter.base_name(name) for name in state if name not in added} == names
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.1)
    changed = model(tokens()).logits
    assert (changed - before).abs().max() > 1e-3
    adapter.merge(model)
    assert set(model.state_dict()) == names and trained(model) == [n for n, _ in model.named_parameters()]
    assert not any(isinstance(module, LoRALinear) for module in model.modules())
    torch.testing.assert_close(model(tokens()).logits, changed, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["llama", "gpt2", "lstm", "gru"])
def test_a_step_of_lora_changes_the_adapter_alone(name):
    model = build(name)
    LoRAConfig(rank=2).build().apply(model)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    for _ in range(2):  # A has no gradient until B is not zero any more
        optimizer.zero_grad()
        F.cross_entropy(model(tokens()).logits.flatten(0, 1), tokens().flatten()).backward()
        optimizer.step()
    after = model.state_dict()
    assert [key for key in before if not torch.equal(before[key], after[key])] == trained(model)


def test_a_linear_layer_by_hand():
    model = build("llama")
    LoRAConfig(rank=1, alpha=3.0, targets=["up"]).build().apply(model)
    up = model.blocks[0].feed_forward.up
    assert trained(model) == [f"blocks.{n}.feed_forward.up.lora_{x}" for n in (0, 1) for x in "AB"]
    x = torch.zeros(32)
    x[3] = 2.0
    with torch.no_grad():
        up.weight.zero_(), up.lora_A.zero_(), up.lora_B.fill_(5.0)
        up.lora_A[0, 3] = 7.0
    assert up(x)[0].item() == 3.0 * 5.0 * 7.0 * 2.0


def test_targets_are_any_names_on_the_path():
    for targets, layers in (
        (["attention"], {"q", "k", "v", "out"}),
        (["q", "down"], {"q", "down"}),
        (["blocks.1.attention", "blocks.1.feed_forward"], {"q", "k", "v", "out", "gate", "up", "down"}),
        (None, {"q", "k", "v", "out", "gate", "up", "down"}),
    ):
        model = build("llama")
        LoRAConfig(targets=targets).build().apply(model)
        assert {name.split(".")[-2] for name in trained(model)} == layers
    assert {name.split(".")[1] for name in trained(model)} == {"0", "1"}
    model = build("lstm")
    LoRAConfig(targets=["weight_hh"]).build().apply(model)
    assert len(trained(model)) == 4 and all("weight_hh_l0" in name for name in trained(model))


@pytest.mark.parametrize(
    ("config", "name", "said"),
    [
        (
            LoRAConfig(targets=["atention"]),
            "llama",
            "no matrix of the blocks 'atention'. Did you mean 'attention'?",
        ),
        (LoRAConfig(targets=["head"]), "llama", "no matrix of the blocks 'head'.* It has: blocks, attention, q, k, v"),
        (LoRAConfig(targets=["attention"]), "gru", "'attention'.* It has: blocks, weight_ih, weight_hh."),
        (LoRAConfig(dropout=0.1), "lstm", "recurrent ones do not show theirs; leave it at 0"),
        (FreezeConfig(train=["hed"]), "llama", "adapter.train: the model has no part 'hed'. Did you mean 'head'?"),
        (FreezeConfig(train=["head"]), "gpt2", "has no part 'head'"),
    ],
)
def test_a_name_that_the_model_does_not_have_is_refused_and_nothing_is_frozen(config, name, said):
    model = build(name)
    with pytest.raises(ConfigError, match=said):
        config.build().apply(model)
    assert len(trained(model)) == len(list(model.parameters()))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"rank": 0}, "rank=0"),
        ({"alpha": 0.0}, "alpha=0"),
        ({"dropout": 1.0}, "dropout=1"),
        ({"targets": []}, "adapts"),
    ],
)
def test_what_lora_cannot_be_is_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        LoRAConfig(**settings)


def test_lora_dropout_acts_in_training_alone():
    model = build("llama")
    LoRAConfig(rank=2, dropout=0.5).build().apply(model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("lora_B"):
                parameter.fill_(0.1)
    assert not torch.equal(model.train()(tokens()).logits, model(tokens()).logits)
    assert torch.equal(model.eval()(tokens()).logits, model(tokens()).logits)


def test_the_matrices_are_drawn_from_the_seed_alone():
    drawn = []
    for before in (0, 5):
        torch.manual_seed(3)
        torch.rand(before)
        model = build("llama")
        LoRAConfig().build().apply(model)
        drawn.append(model.blocks[0].attention.q.lora_A.detach())
    assert torch.equal(*drawn) and drawn[0].abs().max() <= 32**-0.5


def test_freeze_trains_the_named_parts():
    model = build("llama")
    adapter = FreezeConfig(train=["head", "norm", "blocks.1.attention"]).build()
    adapter.apply(model)
    assert trained(model) == [*(f"blocks.1.attention.{x}.weight" for x in ("q", "k", "v", "out")), "norm.weight",
                              "head.weight"]  # fmt: skip
    assert adapter.added(model.state_dict()) == {}
    adapter.merge(model)
    assert len(trained(model)) == len(list(model.parameters()))
    with pytest.raises(ConfigError, match="trains nothing"):
        FreezeConfig(train=[])


def test_no_adapter_does_nothing():
    model = build("llama")
    NoAdapterConfig().build().apply(model)
    assert len(trained(model)) == len(list(model.parameters())) and count_parameters(model).trained is None


def test_sizes_count_what_is_trained_and_what_it_costs():
    whole = flops_per_token(build("llama"), SEQ_LEN)
    model = build("llama")
    LoRAConfig(rank=2, targets=["q"]).build().apply(model)
    count = count_parameters(model)
    assert count.trained == 2 * 2 * (32 + 32) and count.total == count_parameters(build("llama")).total + count.trained
    frozen = sum(m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Linear))
    assert flops_per_token(model, SEQ_LEN) == whole - 2 * frozen + 6 * count.trained
