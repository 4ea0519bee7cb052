"""How long a save holds training up, in ms per 100 MB: at once, and in a thread of its own. Hashing, too.

python benchmarks/checkpoint.py [--megabytes 400] [--rounds 9] [--folder FOLDER]

The two ways take turns, on the same tensors (a model with two moments of AdamW, in float32, as a run has them). In a
thread the tensors are copied, hashed and written; before the optimiser changes them, training waits for the copy.
Between the two stands what a step computes, here half a second of matrix products: how much longer they take beside
the thread is shown too. The first round of each, which makes the buffers, is shown apart.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from prospero.checkpoints import FolderWriter
from prospero.checkpoints.folders import name_of_step, remove_folder, unfinished
from prospero.checkpoints.manifest import verify_folder
from prospero.checkpoints.writing import Save, make_room

LAYERS = 12


def tree_of(megabytes: float) -> dict[str, dict[str, torch.Tensor]]:
    """Return weights and moments of `megabytes` in all, in matrices as a transformer has them."""
    width = int((megabytes * 1e6 / 4 / 3 / LAYERS / 12) ** 0.5)
    shapes = [(width, width)] * 4 + [(4 * width, width), (width, 4 * width)]
    names = [(f"blocks.{layer}.{n}", shape) for layer in range(LAYERS) for n, shape in enumerate(shapes)]
    return {part: {name: torch.randn(shape) for name, shape in names} for part in ("weights", "exp_avg", "exp_avg_sq")}


def begin(writer: FolderWriter, tree: dict, final: Path) -> Save:
    """Return a save that is ready to be written."""
    save = writer.take(tree, final, rank=0, world_size=1)
    save.temporary = unfinished(final)
    make_room(save, save.n_bytes)
    return save


def compute(seconds: float = 0.5) -> int:
    """Compute matrix products for `seconds`, as the forward and backward pass of a step do; return how many."""
    matrix, done = torch.randn(512, 512), 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        torch.mm(matrix, matrix)
        done += 1
    return done


def stall(tree: dict, writer: FolderWriter, final: Path, *, asynchronous: bool) -> tuple[float, int]:
    """Save once; return the seconds that training waits, and the products computed meanwhile."""
    start = time.perf_counter()
    save = begin(writer, tree, final)
    if asynchronous:
        writer.write_in_thread(save)
    else:
        writer.write(save)
    waited = time.perf_counter() - start
    products = compute()
    writer.wait_until_copied()
    waited += writer.taken_wait()
    error = writer.wait()
    if error is not None:
        raise error
    return waited, products


def main() -> None:
    """Measure and print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=400, help="size of a checkpoint")
    parser.add_argument("--rounds", type=int, default=9, help="saves of each way")
    parser.add_argument("--folder", default=None, help="where to write; default: the system's temporary folder")
    given = parser.parse_args()
    tree = tree_of(given.megabytes)
    hundreds = sum(t.numel() * 4 for part in tree.values() for t in part.values()) / 1e8
    ways = {"synchronous": False, "asynchronous": True}
    writers = {way: FolderWriter() for way in ways}
    waited: dict[str, list[float]] = {way: [] for way in ways}
    products: dict[str, list[int]] = {way: [] for way in ways}
    verified: list[float] = []
    with tempfile.TemporaryDirectory(dir=given.folder) as place:
        for number in range(given.rounds + 1):
            for way, asynchronous in ways.items():
                final = Path(place) / name_of_step(number)
                times = stall(tree, writers[way], final, asynchronous=asynchronous)
                waited[way].append(1e3 * times[0] / hundreds)
                products[way].append(times[1])
                start = time.perf_counter()
                verify_folder(final)
                verified.append(1e3 * (time.perf_counter() - start) / hundreds)
                remove_folder(final)
    print(f"{100 * hundreds:.0f} MB, {given.rounds} rounds, the ways in turn; ms per 100 MB, median (first round)")
    for way in ways:
        first, rest = waited[way][0], statistics.median(waited[way][1:])
        print(f"{way:13} training waits {rest:7.2f} ({first:.2f})")
    ratio = statistics.median(a / s for a, s in zip(waited["asynchronous"][1:], waited["synchronous"][1:]))
    slower = statistics.median(s / a for a, s in zip(products["asynchronous"][1:], products["synchronous"][1:]))
    print(
        f"asynchronous / synchronous stall: {ratio:.3f}; products beside the thread take {slower:.2f} x as long; "
        f"comparing all hashes takes {statistics.median(verified):.1f}"
    )


if __name__ == "__main__":
    main()
