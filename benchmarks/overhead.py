"""What the platform costs over a bare PyTorch loop of the same model, optimiser and batch; what its guards cost.

python benchmarks/overhead.py [--rounds 40] [--precision float32 bf16]
"""

import argparse

from contest import Loop, interleave, ratio
from loops import command

VOCAB_SIZE = 1024


def main() -> None:
    """Measure and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40, help="measured steps of each loop")
    parser.add_argument("--precision", nargs="+", default=["float32", "bf16"], choices=["float32", "bf16"])
    given = parser.parse_args()
    print("d_model 384, 6 layers, 8 x 256 tokens, vocabulary 1024, CPU; one step of each in turn")
    for precision in given.precision:
        names = ("platform", "unguarded", "bare")
        loops = [Loop(name, command(name, precision, "llama", VOCAB_SIZE)) for name in names]
        interleave(loops, given.rounds)
        ours, unguarded, bare = loops
        for loop in loops:
            print(f"{precision:8} {loop.name:9} {1e3 * loop.median:8.1f} ms a step   peak {loop.peak / 2**20:6.0f} MiB")
        print(f"{precision:8} platform / bare: time {ratio(ours, bare):.4f}, peak memory {ours.peak / bare.peak:.3f}")
        print(f"{precision:8} guards on / off: time {ratio(ours, unguarded):.4f}")


if __name__ == "__main__":
    main()
