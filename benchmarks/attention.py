"""Which attention kernel is faster on this processor, forward and backward, by head width and length.

    python benchmarks/attention.py [--bf16] [--dropout] [--documents] [--grouped] [--threads N]

Prints time of sdpa / time of explicit, the least of ROUNDS taken in turns: above 1, explicit is faster. On one
thread its processor time is taken, which other programs do not change much; on several the machine must be idle. The
rule in `prospero.model.numerics.attention_kernel` was read off these tables (docs/PERFORMANCE.md).
"""

import argparse
import time

import torch

from prospero.model.layers.attention import AttentionKernel, attend, document_mask
from prospero.model.numerics import keep_freed_memory

ROUNDS = 7
WIDTHS, LENGTHS, MODEL_WIDTH, SCORES = (8, 16, 32, 48, 64, 96, 128), (64, 128, 256, 512, 1024), 384, 2**21


def ratio(head_dim: int, length: int, arguments: argparse.Namespace) -> float:
    """Return time of sdpa / time of explicit for one layer of the model's width."""
    heads = max(1, MODEL_WIDTH // head_dim)
    batch = max(1, SCORES // (heads * length * length))
    dtype = torch.bfloat16 if arguments.bf16 else torch.float32
    key_heads = heads // 2 if arguments.grouped and heads % 2 == 0 else heads
    q, k, v = (
        torch.randn(batch, length, n, head_dim, dtype=dtype).transpose(1, 2).requires_grad_()
        for n in (heads, key_heads, key_heads)
    )
    mask = document_mask(torch.zeros(batch, length), dtype) if arguments.documents else None
    grad, dropout = torch.randn_like(q), 0.1 if arguments.dropout else 0.0
    clock = time.thread_time if arguments.threads == 1 else time.perf_counter
    times: dict[AttentionKernel, list[float]] = {AttentionKernel.sdpa: [], AttentionKernel.explicit: []}
    for _ in range(ROUNDS + 1):  # the first is for warming up
        for kernel, found in times.items():
            start = clock()
            torch.autograd.grad(attend(q, k, v, mask, mask is None, dropout, kernel), (q, k, v), grad)
            found.append(clock() - start)
    sdpa, explicit = (min(found[1:]) for found in times.values())
    return sdpa / explicit


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("bf16", "dropout", "documents", "grouped"):
        parser.add_argument(f"--{name}", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    keep_freed_memory()
    print("| head_dim \\ T |" + "".join(f" {length} |" for length in LENGTHS))
    print("|---|" + "---|" * len(LENGTHS))
    for width in WIDTHS:
        row = [f" {ratio(width, length, arguments):.2f} |" for length in LENGTHS]
        print(f"| {width} |" + "".join(row), flush=True)


if __name__ == "__main__":
    main()
