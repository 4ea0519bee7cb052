"""A small Transformer under every regulariser, spread over processes by `parallelize`; run by parity_processes."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

from prospero import registry
from prospero.model.layers.block import NormPlace
from prospero.model.layers.feed_forward import Activation
from prospero.model.layers.lookback import Lookback
from prospero.model.layers.norms import Norm
from prospero.model.layers.rotary import RopeScalingConfig, Scaling
from prospero.model.transformer import Position, TransformerConfig
from prospero.objective.losses.cross_entropy import CrossEntropyConfig
from prospero.objective.objective import Objective, Share
from prospero.objective.regularizers.l1 import L1Config
from prospero.objective.regularizers.l2_sp import L2SPConfig
from prospero.objective.regularizers.orthogonality import OrthogonalityConfig
from prospero.optim.adafactor import AdafactorConfig
from prospero.optim.adamw import AdamWConfig
from prospero.optim.clipping import clip_grad_norm_
from prospero.optim.lion import LionConfig
from prospero.optim.muon import MuonConfig
from prospero.optim.schedule_free import ScheduleFreeConfig
from prospero.optim.soap import SOAPConfig
from prospero.training.layout import Layout
from prospero.training.parallel import parallelize
from tests.objective.fakes import batch_of, part

TERMS = {name: registry.config_class("regularizers", name)(weight=0.1) for name in registry.names("regularizers")} | {
    "l1": L1Config(weight=0.01, stop_step=1),  # later a weight within rounding of 0 may lie on either side of its jump
    "l2_sp": L2SPConfig(weight=0.5),
    "orthogonality": OrthogonalityConfig(weight=0.01),
}
SIZES: dict[str, Any] = {"n_layers": 2, "d_model": 16, "n_heads": 4, "d_ff": 32}
QWEN = TransformerConfig(
    **SIZES,
    n_kv_heads=2,
    qk_norm=True,
    tie_embeddings=True,
    lookback=Lookback.shift,
    activation_checkpointing=True,
)
GPT2 = TransformerConfig(
    **SIZES,
    norm=Norm.layer,
    position=Position.learned,
    activation=Activation.gelu,
    bias=True,
    logit_softcap=5.0,
    lookback=Lookback.smear,
)
SWITCHES = TransformerConfig(
    **SIZES,
    norm_place=NormPlace.sandwich,
    parallel_residual=True,
    rotary_dim=2,
    rope_scaling=RopeScalingConfig(kind=Scaling.linear, factor=2.0),
    windows=[3, 0],
    window_rope_theta=100.0,
    activation=Activation.geglu,
    qk_norm=True,
    qkv_bias=True,
    embedding_scale=4.0,
    attention_softcap=5.0,
)
RELU2 = TransformerConfig(**SIZES, activation=Activation.relu2, document_attention=True)


@dataclass(frozen=True)
class Spread:
    """What is trained, and how its four processes share it."""

    layout: Layout
    model: TransformerConfig
    optimizer: Any
    vocab_size: int
    chunk_tokens: int | None = None


SPREADS = {
    "2x2 adamw": Spread(Layout(shards=2, tensor_parallel=2), QWEN, AdamWConfig(lr=0.01), 13),
    "2x2 muon": Spread(Layout(shards=2, tensor_parallel=2), GPT2, MuonConfig(), 12, chunk_tokens=5),
    "4 switches": Spread(Layout(tensor_parallel=4), SWITCHES, AdamWConfig(lr=0.01), 12),
    "4 lion": Spread(Layout(tensor_parallel=4), RELU2, LionConfig(lr=0.001), 12, chunk_tokens=5),
    "copies muon": Spread(Layout(replicas=2, shards=2), QWEN, MuonConfig(), 12),
    "2x2 adafactor": Spread(Layout(shards=2, tensor_parallel=2), GPT2, AdafactorConfig(weight_decay=0.1), 12),
    "4 adafactor": Spread(Layout(tensor_parallel=4), RELU2, AdafactorConfig(), 12),
    "uneven adafactor": Spread(Layout(shards=4), QWEN, AdafactorConfig(), 13),
    "2x2 schedule_free": Spread(Layout(shards=2, tensor_parallel=2), QWEN, ScheduleFreeConfig(), 13),
    # A larger eps: like Adam, SOAP blows up what rounding leaves of gradients that are zero.
    "2x2 soap": Spread(Layout(shards=2, tensor_parallel=2), QWEN, SOAPConfig(lr=1e-4, eps=1e-5, refresh_steps=1), 13),
    "copies soap": Spread(Layout(replicas=2, shards=2), GPT2, SOAPConfig(lr=1e-4, eps=1e-5, max_side=16), 12),
}


def whole(tensor: Tensor) -> Tensor:
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach().clone()


def train_spread(spread: Spread, rank: int, alone: bool) -> dict[str, Tensor]:
    """Take three clipped steps; return parts, gradients, norms, weights, and the logits of evaluation."""
    layout = Layout() if alone else spread.layout
    torch.manual_seed(0)
    model = spread.model.build(spread.vocab_size, 8)
    ids = torch.randint(spread.vocab_size, (4, 9), generator=torch.Generator().manual_seed(1))
    labels = ids[:, 1:].clone()
    labels[0, :3] = -100
    batch = batch_of(ids[:, :-1], labels, document_ids=(ids[:, :-1] > 8).long().cumsum(1))
    if not alone:
        parallelize(model, layout.mesh("cpu"), fsdp=layout.data_parallel > 1)
    objective = Objective(
        {"cross_entropy": CrossEntropyConfig(chunk_tokens=spread.chunk_tokens).build()},
        {name: config.build() for name, config in TERMS.items()},
    )
    objective.bind(model)
    optimizer = spread.optimizer.build(model)
    size, place = 4 // layout.data_parallel, rank // layout.tensor_parallel
    mine = part(batch, place * size, (place + 1) * size)
    seen: dict[str, Tensor] = {}
    for step in range(3):
        result = objective(model, mine, Share(step=step, gradient_average_over=layout.data_parallel))
        result.total.backward()
        parts = torch.stack(list(result.parts.values()))
        if not alone:
            dist.all_reduce(parts)
            parts /= dist.get_world_size()
        seen[f"parts.{step}"] = parts
        if step == 0:
            seen |= {f"grad.{name}": whole(p.grad) for name, p in model.named_parameters() if p.grad is not None}
        seen[f"norm.{step}"] = clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        optimizer.zero_grad()
    seen["logits"] = model.eval()(ids[:, :-1], document_ids=batch.inputs["document_ids"]).logits.detach()
    return seen | {f"weight.{name}": whole(p) for name, p in model.named_parameters()}
