"""Training speed of the platform, of bare loops and of Hugging Face's Trainer, interleaved on one shape.

    python benchmarks/train_speed.py [--rounds 20] [--precision float32 bf16] [--layout gpt2]

`bare` computes as the platform chooses (numerics measured at start), `plain` with torch's defaults, as most loops do.
"""

import argparse

from contest import Loop, interleave, ratio
from loops import BATCH, LENGTH, command

VOCAB_SIZE = 8192


def main() -> None:
    """Measure and print tokens per second and the ratios to the HF Trainer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="measured steps of each loop")
    parser.add_argument("--precision", nargs="+", default=["float32", "bf16"], choices=["float32", "bf16"])
    parser.add_argument("--layout", default="gpt2", choices=["gpt2", "llama"], help="the network of all loops")
    given = parser.parse_args()
    print(f"d_model 384, 6 layers, {BATCH} x {LENGTH} tokens, vocabulary {VOCAB_SIZE}, AdamW, {given.layout} layout")
    for precision in given.precision:
        names = ("platform", "bare", "plain", "hf_trainer")
        loops = [Loop(name, command(name, precision, given.layout, VOCAB_SIZE)) for name in names]
        interleave(loops, given.rounds)
        for loop in loops:
            speed = BATCH * LENGTH / loop.median
            print(
                f"{precision:8} {loop.name:10} {1e3 * loop.median:7.1f} ms a step {speed:8.0f} tokens/s"
                f"   {ratio(loops[-1], loop):5.2f} x HF Trainer   peak {loop.peak / 2**20:6.0f} MiB"
            )


if __name__ == "__main__":
    main()
