"""What a run needs of a machine: memory, disk, operations; found from its parts before anything is prepared.

Weights, gradients and the optimiser's state are counted on tensors without storage: the real optimiser takes a real
step on them. Activations are an estimate (Korthikanti et al. 2022, arXiv:2205.05198, table 2, without the attention
matrices that fused kernels do not keep): 34 values of 2 bytes for each position and unit of width, in each layer.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from prospero.model.base import LanguageModel
from prospero.model.size import count_parameters, flops_per_token

ACTIVATIONS = 34
"""Values of half precision kept for each position, unit of width and layer."""
RECOMPUTED = 2
"""The same where blocks are computed again in the backward pass: the input of each alone."""
COPIES_OF_LOGITS = 2
USUAL_SHARE = 0.35
"""Of the peak of large products that training reaches, where it is not timed."""
TIMED_SECONDS, REPEATS = 10.0, 3
"""As many sequences are timed as can be read so often in that time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """Of one process, where nothing is sharded."""

    parameters: int
    flops_per_token: float
    weight_bytes: int
    """Weights and gradients."""
    state_bytes: int
    """The optimiser's state."""
    activation_bytes: int
    """An estimate, of one micro-batch."""
    tokens: int | None
    """Of the whole run; None where the clock ends it."""

    @property
    def memory_bytes(self) -> int:
        """All of it."""
        return self.weight_bytes + self.state_bytes + self.activation_bytes

    @property
    def checkpoint_bytes(self) -> int:
        """Weights and the optimiser's state."""
        return self.weight_bytes // 2 + self.state_bytes


def needs_of(
    model: LanguageModel,
    build_optimizer: Callable[[nn.Module], torch.optim.Optimizer],
    *,
    seq_len: int,
    micro_batch_size: int,
    tokens: int | None,
    half: bool,
    recomputes: bool,
) -> Needs:
    """Return the needs of a `model` on the device `meta`; its parameters get gradients there."""
    optimizer = build_optimizer(model)
    trained = [p for p in model.parameters() if p.requires_grad]
    for p in trained:
        p.grad = torch.empty_like(p)
    optimizer.step()
    state = [t for one in optimizer.state.values() for t in one.values() if isinstance(t, torch.Tensor)]
    everything = [*model.parameters(), *(p.grad for p in trained if p.grad is not None)]
    kept = RECOMPUTED if recomputes else ACTIVATIONS
    positions, width = micro_batch_size * seq_len, 2 if half else 4
    hidden = positions * model.d_model * (kept * max(1, len(model.blocks)) + (ACTIVATIONS if recomputes else 0))
    logits = positions * model.vocab_size * COPIES_OF_LOGITS
    return Needs(
        parameters=count_parameters(model).total,
        flops_per_token=flops_per_token(model, seq_len),
        weight_bytes=sum(t.numel() * t.element_size() for t in everything),
        state_bytes=sum(t.numel() * t.element_size() for t in state),
        activation_bytes=(hidden + logits) * width,
        tokens=tokens,
    )


def timed_tokens_per_second(
    build: Callable[[], LanguageModel], needs: Needs, *, seq_len: int, rows: int, peak: float, device: torch.device
) -> float | None:
    """Return the tokens a second of forward and backward passes on random text; None where that would take long.

    At most `rows` sequences, on one device; the optimiser's step is left out.
    """
    in_time = TIMED_SECONDS * peak * USUAL_SHARE / REPEATS
    rows = min(rows, int(in_time / (seq_len * needs.flops_per_token)))
    if rows < 1:
        return None
    with torch.device(device):
        model = build()
        ids = torch.randint(0, model.vocab_size, (rows, seq_len))
        arguments: dict[str, Any] = {"input_ids": ids}
        if model.image_shape is not None:
            arguments["images"] = torch.zeros(rows, *model.image_shape)
    best = float("inf")
    for _ in range(REPEATS):  # the first warms up
        start = time.perf_counter()
        output = model(**arguments)
        assert output.logits is not None, "logits were asked for"
        loss = nn.functional.cross_entropy(output.logits.float().flatten(0, 1), ids.flatten())
        loss.backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - start)
        model.zero_grad(set_to_none=True)
    return rows * seq_len / best
