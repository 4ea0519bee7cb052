"""What looking inside costs: a forward pass with every point recorded, and a step in which nothing is.

    python benchmarks/recording.py                     model=small: 6 blocks, width 384, 256 tokens
    python benchmarks/recording.py --rows 8 --rounds 30

Interleaved, in the processor time of this process; min / median / max of the ratios. "unused" is a step (forward and
backward) of the model as it is, beside one whose blocks have no place to be read at.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from prospero.model.hooks import points, record
from prospero.model.layers.attention import Shared
from prospero.model.layers.block import Block
from prospero.model.transformer import TransformerConfig


class WithoutPoints(Block):
    """A block as it would be without a place between its two layers."""

    def forward(self, x: Tensor, shared: Shared) -> Tensor:
        """Refine x [B, T, D]."""
        after = x + self.dropout(self.attention_output_norm(self.attention(self.attention_norm(x), shared, self.layer)))
        y = self.feed_forward(self.feed_forward_norm(after))
        return after + self.dropout(self.feed_forward_output_norm(y))


def seconds(work: Callable[[], object]) -> float:
    """Return the processor time that `work` takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def compare(name: str, ours: Callable[[], object], plain: Callable[[], object], rounds: int) -> None:
    """Run both in turn and print the ratios."""
    for work in (ours, plain) * 2:
        work()
    ratios = []
    for turn in range(rounds):
        order = (ours, plain) if turn % 2 else (plain, ours)
        took = {work: seconds(work) for work in order}
        ratios.append(took[ours] / took[plain])
    low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
    print(f"{name:34} {low:.3f} / {middle:.3f} / {high:.3f} x")


def main() -> None:
    """Print three lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in (("rows", 8), ("tokens", 256), ("rounds", 30), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    model = TransformerConfig().build(8192, given.tokens)
    without = TransformerConfig().build(8192, given.tokens)
    for block in without.blocks:
        block.__class__ = WithoutPoints
    ids = torch.randint(8192, (given.rows, given.tokens))
    print(f"{given.rows} rows of {given.tokens} tokens, {given.threads} thread(s), {len(points(model))} points")

    @torch.no_grad()
    def plain() -> None:
        model(ids)

    @torch.no_grad()
    def recorded(patterns: list[str]) -> None:
        with record(model, patterns):
            model(ids)

    def step(of: torch.nn.Module) -> None:
        logits = of(ids).logits
        F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()

    compare("all points recorded, forward", lambda: recorded(["*"]), plain, given.rounds)
    compare("residual stream recorded, forward", lambda: recorded(["block.*.residual"]), plain, given.rounds)
    compare("unused, forward and backward", lambda: step(model), lambda: step(without), given.rounds)


if __name__ == "__main__":
    main()
