"""What the platform costs over a bare PyTorch loop of the same model, optimiser and batch; what guards and saves cost.

python benchmarks/overhead.py [--rounds 40] [--precision float32 bf16] [--saves]
"""

import argparse

from contest import Loop, cpu_ratio, interleave, ratio
from loops import command

VOCAB_SIZE = 1024


def main() -> None:
    """Measure and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40, help="measured steps of each loop")
    parser.add_argument("--precision", nargs="+", default=["float32", "bf16"], choices=["float32", "bf16"])
    parser.add_argument("--saves", action="store_true", help="also with a checkpoint at every fourth step, of each way")
    given = parser.parse_args()
    print("d_model 384, 6 layers, 8 x 256 tokens, vocabulary 1024, CPU; one step of each in turn; min / median / max")
    for precision in given.precision:
        names = ["platform", "unguarded", "bare", *(["saving", "saving_beside"] if given.saves else [])]
        loops = [Loop(name, command(name, precision, "llama", VOCAB_SIZE)) for name in names]
        interleave(loops, given.rounds)
        ours, unguarded, bare, *saves = loops
        for loop in loops:
            print(f"{precision:8} {loop.name:13} {loop.describe()}")
        print(f"{precision:8} platform / bare: {_ratios(ours, bare)}, peak memory {ours.peak / bare.peak:.3f}")
        print(f"{precision:8} guards on / off: {_ratios(ours, unguarded)}")
        for loop in saves:  # of four steps one saves: means tell what medians hide
            print(f"{precision:8} {loop.name} / platform: mean time {sum(loop.seconds) / sum(ours.seconds):.4f}")


def _ratios(slow: Loop, fast: Loop) -> str:
    return f"time {ratio(slow, fast):.4f}, processor time {cpu_ratio(slow, fast):.4f}"


if __name__ == "__main__":
    main()
