"""How much faster float32 products are with precision "medium" than with "highest", by width, forward and backward.

    python benchmarks/products.py [--threads N]

Prints time of "highest" / time of "medium" for [512, d] x [d, 4 d], the least of ROUNDS taken in turns.
"""

import argparse
import time

import torch
from torch.nn import functional as F

ROUNDS, ROWS, WIDTHS = 30, 512, (16, 64, 128, 256, 384, 768)


def main() -> None:
    """Print a line a width."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    clock = time.thread_time if arguments.threads == 1 else time.perf_counter
    for width in WIDTHS:
        x = torch.randn(ROWS, width, requires_grad=True)
        weight = torch.randn(4 * width, width, requires_grad=True)
        grad = torch.randn(ROWS, 4 * width)
        times: dict[str, list[float]] = {"highest": [], "medium": []}
        for _ in range(ROUNDS):
            for precision, found in times.items():
                torch.set_float32_matmul_precision(precision)
                start = clock()
                torch.autograd.grad(F.linear(x, weight), (x, weight), grad)
                found.append(clock() - start)
        print(f"d {width:4}: {min(times['highest']) / min(times['medium']):.2f}")


if __name__ == "__main__":
    main()
