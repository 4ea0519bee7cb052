"""What a model thinks of given continuations: how likely each token was, and whether it was the likeliest.

Shapes: B rows, T time, D d_model, V vocabulary, n tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from prospero.generation.decoder import SCORED_AT_ONCE, Decoder


@dataclass(frozen=True, slots=True)
class Weighed:
    """Some ids of a row, n of them."""

    log_probabilities: Tensor
    """Natural logarithm, [n]."""
    greedy: Tensor
    """Whether no other id was more probable, [n] bool."""


@torch.inference_mode()
def weigh(decoder: Decoder, rows: Sequence[Sequence[int]], counts: Sequence[int]) -> list[Weighed]:
    """Weigh the last `counts[k]` ids of `rows[k]`, given those before them, in one pass.

    A row holds at most a window and one more: its last id is weighed and not read. At least one id stands before the
    weighed. Rows are filled up on the right, where nothing is seen from the left.
    """
    longest = max(len(row) for row in rows) - 1
    hidden = decoder.hidden(torch.tensor([[*row[:-1], *[0] * (longest + 1 - len(row))] for row in rows]))  # [B, T, D]
    known = [hidden[k, len(row) - 1 - count : len(row) - 1] for k, (row, count) in enumerate(zip(rows, counts))]
    wanted = [id_ for row, count in zip(rows, counts) for id_ in row[len(row) - count :]]
    found = _weighed(decoder, torch.cat(known), torch.tensor(wanted, dtype=torch.long, device=hidden.device))
    sizes = list(counts)
    return [Weighed(*both) for both in zip(found.log_probabilities.split(sizes), found.greedy.split(sizes))]


def _weighed(decoder: Decoder, hidden: Tensor, targets: Tensor) -> Weighed:
    """Weigh `targets` [n] by `hidden` [n, D]; the vocabulary product in pieces."""
    log_probabilities, greedy = [hidden.new_zeros(0, dtype=torch.float32)], [targets.new_zeros(0, dtype=torch.bool)]
    for start in range(0, len(targets), SCORED_AT_ONCE):
        logits = decoder.project(hidden[start : start + SCORED_AT_ONCE]).float()
        picked = logits.gather(1, targets[start : start + SCORED_AT_ONCE].unsqueeze(1)).squeeze(1)
        log_probabilities.append(picked - logits.logsumexp(dim=-1))
        greedy.append(picked >= logits.amax(dim=-1))
    return Weighed(torch.cat(log_probabilities), torch.cat(greedy))
