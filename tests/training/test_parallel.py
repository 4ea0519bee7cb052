"""Sizes, refusals and the parts of tensor parallelism that one process can show; the rest is in test_parity."""

import pytest
import torch
from torch import nn

from prospero.errors import ConfigError
from prospero.evaluation.metrics.collection import TokenMetrics
from prospero.evaluation.metrics.loss import LossMetric
from prospero.model.layers.attention import QKNormWidth
from prospero.model.rnn import LSTMConfig
from prospero.model.transformer import TransformerConfig
from prospero.training import tensor_parallel, trainer
from prospero.training.gathered import reshard, sync_gradients
from prospero.training.layout import Layout, check_tensor_parallel
from prospero.training.strategies import FSDP2Strategy
from prospero.training.trainer import Accelerator, Precision, StrategyName, TrainerConfig


def on_cpu(strategy: str, **settings) -> TrainerConfig:
    return TrainerConfig(
        accelerator=Accelerator.cpu, strategy=StrategyName[strategy], precision=Precision.float32, **settings
    )


@pytest.mark.parametrize(
    ("strategy", "settings", "layout", "readers", "words"),
    [
        ("ddp", {"devices": 2}, Layout(replicas=2), 2, "2 x cpu, ddp of 2 copies, float32"),
        ("fsdp", {"devices": 2}, Layout(shards=2), 2, "2 x cpu, fsdp, float32"),
        ("fsdp", {"devices": 4, "tensor_parallel": 2}, Layout(1, 2, 2), 2, "4 x cpu, fsdp in groups of 2, float32"),
        ("hsdp", {"devices": 2, "num_nodes": 2}, Layout(2, 2, 1), 4, "4 x cpu, hsdp of 2 copies, float32"),
        ("hsdp", {"devices": 4, "replicas": 4}, Layout(replicas=4), 4, "4 x cpu, hsdp of 4 copies, float32"),
        ("tensor_parallel", {"devices": 2}, Layout(1, 1, 2), 1, "2 x cpu, tensor_parallel in groups of 2, float32"),
        ("tensor_parallel", {"devices": 2, "num_nodes": 2}, Layout(1, 2, 2), 2,
         "4 x cpu, tensor_parallel in groups of 2, float32"),
    ],
)  # fmt: skip
def test_processes_are_shared_out(strategy, settings, layout, readers, words):
    hardware = on_cpu(strategy, **settings).hardware()
    assert hardware.layout == layout
    assert layout.replicas * layout.shards * layout.tensor_parallel == hardware.world_size
    assert hardware.data_parallel_size == layout.data_parallel == readers
    assert hardware.describe() == words


@pytest.mark.parametrize(
    ("strategy", "settings", "message"),
    [
        ("ddp", {"tensor_parallel": 2}, "trainer.tensor_parallel=2 does not go with trainer.strategy=ddp; use "
         "trainer=tensor_parallel"),
        ("fsdp", {"replicas": 2}, "trainer.replicas=2 does not go with trainer.strategy=fsdp; use trainer=hsdp"),
        ("ddp", {"cpu_offload": True}, "trainer.cpu_offload does not go with trainer.strategy=ddp; use trainer=fsdp"),
        ("hsdp", {"devices": 4, "replicas": 3}, "trainer.replicas=3 does not divide the 4 processes "
         "(trainer.devices=4 x trainer.num_nodes=1); choose from 1, 2, 4"),
        ("tensor_parallel", {"devices": 2, "compile": True}, "trainer.compile=blocks does not go with "
         "trainer.tensor_parallel=2; leave it out"),
        ("tensor_parallel", {"devices": 2, "tensor_parallel": 4}, "trainer.tensor_parallel=4 does not divide the 2 "
         "processes (trainer.devices=2 x trainer.num_nodes=1); choose from 1, 2"),
    ],
)  # fmt: skip
def test_sizes_that_do_not_fit_are_one_line(strategy, settings, message):
    with pytest.raises(ConfigError) as caught:
        on_cpu(strategy, **settings).hardware()
    assert str(caught.value) == message


def test_float16_is_refused_where_lightning_cannot_scale_it():
    with pytest.raises(ConfigError, match=r"trainer.precision=float16 does not go with trainer.strategy=fsdp"):
        TrainerConfig(strategy=StrategyName.fsdp, precision=Precision.float16)


@pytest.mark.parametrize(
    ("settings", "vocab_size", "size", "message"),
    [
        ({"n_heads": 6, "d_model": 96}, 64, 4, "trainer.tensor_parallel=4 does not divide model.n_heads=6; "
         "choose from 1, 2"),
        ({"n_heads": 8, "n_kv_heads": 2, "d_model": 64}, 64, 4, "trainer.tensor_parallel=4 does not divide "
         "model.n_kv_heads=2; choose from 1, 2"),
        ({"n_heads": 2, "d_model": 64, "d_ff": 33}, 64, 2, "trainer.tensor_parallel=2 does not divide model.d_ff=33; "
         "choose from 1"),
        ({"n_heads": 3, "head_dim": 8, "d_model": 64, "d_ff": 96}, 65, 3, "trainer.tensor_parallel=3 divides neither "
         "the vocabulary of 65 nor model.d_model=64; choose a divisor of one of them"),
        ({"n_heads": 2, "d_model": 64, "qk_norm": True, "qk_norm_width": QKNormWidth.all_heads}, 64, 2,
         "trainer.tensor_parallel=2 cuts the heads, and model.qk_norm_width=all_heads normalises over all of them; use "
         "trainer=ddp or trainer=fsdp"),
    ],
)  # fmt: skip
def test_a_model_that_cannot_be_cut_is_one_line(settings, vocab_size, size, message):
    model = TransformerConfig(n_layers=1, **settings).build(vocab_size, 8)
    check_tensor_parallel(model, 1)
    with pytest.raises(ConfigError) as caught:
        check_tensor_parallel(model, size)
    assert str(caught.value) == message


def test_a_recurrent_model_is_refused():
    model = LSTMConfig(n_layers=1, d_model=8).build(vocab_size=16, max_seq_len=8)
    with pytest.raises(ConfigError, match=r"LSTM has no.*|.* has none: use trainer=ddp or trainer=fsdp") as caught:
        check_tensor_parallel(model, 2)
    assert "\n" not in str(caught.value)


def test_a_whole_model_is_left_alone():
    model = nn.Linear(2, 2)
    sync_gradients(model, False)
    reshard(model)
    model(torch.ones(1, 2)).sum().backward()
    assert model.weight.grad is not None


def test_attention_drops_other_probabilities_on_each_process_and_all_else_stays_in_step():
    """Two ranks of one group, one after the other: own masks inside, the same random state outside."""

    class Draws(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.rand(8)

    inside, after = [], []
    for rank in (0, 1):
        layer = Draws()
        tensor_parallel._own_dropout(layer, rank)
        torch.manual_seed(3)
        inside.append([layer(torch.ones(1)) for _ in range(2)])
        after.append(torch.rand(8))
    assert not torch.equal(inside[0][0], inside[1][0]) and not torch.equal(inside[0][0], inside[0][1])
    assert torch.equal(after[0], after[1])


def test_with_offload_all_but_parameters_moves_to_the_device():
    class OnMeta(FSDP2Strategy):
        root_device = torch.device("meta")

    strategy = OnMeta(Layout(), cpu_offload=True)
    norm, metric = torch.nn.BatchNorm1d(3), LossMetric()
    strategy._model = torch.nn.ModuleList([norm, TokenMetrics({"loss": metric})])
    strategy.model_to_device()
    assert metric.total.device.type == "meta" and metric.targets.device.type == "meta"
    assert norm.running_mean.device.type == "meta" and norm.weight.device.type == "cpu"


def test_offload_on_a_cpu_says_that_it_does_nothing(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(trainer.log, "info", lambda text, *_: said.append(text))
    on_cpu("fsdp", cpu_offload=True).build(run_dir=tmp_path, max_steps=1)
    assert said == ["trainer.cpu_offload has no effect on a CPU: everything is in main memory already"]
