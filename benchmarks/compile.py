"""What compiling gains: steps as written, with compiled blocks, and with model and loss as one graph, in turn.

python benchmarks/compile.py [--rounds 12] [--precision float32 bf16] [--vocab 8192]
"""

import argparse
import time

from contest import Loop, cpu_ratio, interleave, ratio
from loops import command


def main() -> None:
    """Measure and print the gains."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12, help="measured steps of each loop")
    parser.add_argument("--precision", nargs="+", default=["float32", "bf16"], choices=["float32", "bf16"])
    parser.add_argument("--vocab", type=int, default=8192)
    given = parser.parse_args()
    print(f"d_model 384, 6 layers, 8 x 256 tokens, vocabulary {given.vocab}, CPU; min / median / max")
    for precision in given.precision:
        loops = [
            TimedLoop(name, command(name, precision, "llama", given.vocab))
            for name in ("platform", "compiled_blocks", "compiled")
        ]
        interleave(list(loops), given.rounds)
        written = loops[0]
        for loop in loops:
            gain = f"{ratio(written, loop):.3f} x in time, {cpu_ratio(written, loop):.3f} x in processor time"
            print(f"{precision:8} {loop.name:16} {loop.describe()}; {gain}; ready after {loop.ready_seconds:.0f} s")


class TimedLoop(Loop):
    """A loop that knows how long it took until it had warmed up, imports and compiling included."""

    ready_seconds: float = 0.0

    def start(self) -> None:
        """Start it and take the time."""
        began = time.perf_counter()
        Loop.start(self)
        self.ready_seconds = time.perf_counter() - began


if __name__ == "__main__":
    main()
