"""What a model makes of one text, token by token: what it expected, layer by layer, what it attended to, and why.

Shapes: T tokens, C places of the residual stream (the embedding, then each block), N heads, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from prospero.analysis.attribution import Baseline, baseline_embedding, score_of
from prospero.analysis.lens import last_norm, lens_points
from prospero.analysis.look.settings import Attributions
from prospero.analysis.reading import Rows, read_attention
from prospero.analysis.saliency import gradient_times_input, integrated_gradients
from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.model.base import LanguageModel
from prospero.model.hooks import points, record

MOST_LIKELY = 10
"""Next tokens that are shown of each place."""
MOST_LIKELY_IN_LENS = 3
"""And of each place of the stream."""
TOLERANCE = 0.05
"""By how much integrated gradients may miss the difference that they add up to, in nats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Glimpse:
    """What a model makes of a text."""

    ids: Sequence[int]
    """The tokens."""
    likely: Tensor
    """The likeliest next tokens after each, int64 [T, MOST_LIKELY]."""
    probability: Tensor
    """Theirs, [T, MOST_LIKELY]."""
    surprise: Tensor
    """-log2 of the probability that each token had before it was read, [T]; NaN for the first."""
    rank: Tensor
    """Its rank among all tokens, 1: the likeliest, int64 [T]; 0 for the first."""
    places: Sequence[str]
    """Names of the places of the stream that the head is applied to."""
    lens: Tensor
    """The likeliest next tokens at each, int64 [C, T, MOST_LIKELY_IN_LENS]."""
    lens_probability: Tensor
    """Theirs, [C, T, MOST_LIKELY_IN_LENS]."""
    attention: Sequence[Tensor]
    """Attention weights of each block, [N, T, T]; none for a model without attention."""
    attributions: Tensor | None
    """How much each token before (columns) added to the log-probability of each (rows), in nats, [T + 1, T]; the last
    row is of the likeliest token after the text. None where it was not asked for."""


def glimpse(model: LanguageModel, tokenizer: Tokenizer, ids: Sequence[int], how: Attributions, steps: int) -> Glimpse:
    """Read `ids` with a model in evaluation mode; `steps` is the most gradients for the attribution of one token."""
    row = torch.tensor([list(ids)], device=model.device)
    places, has_attention = lens_points(model), "block.0.attention.weights" in points(model)
    with torch.no_grad():
        with record(model, places) as stream:
            hidden = model(row, logits=False).hidden[0]
        attention = read_attention(model, _row(row))[1] if has_attention else []
        log_p = model.project(hidden).float().log_softmax(dim=-1)  # [T, V]
        norm = last_norm(model)
        through = [model.project(norm(stream[name][0])).float().softmax(dim=-1) for name in places]
    likely = log_p.topk(min(MOST_LIKELY, log_p.shape[1]), dim=-1)
    lens = [one.topk(min(MOST_LIKELY_IN_LENS, one.shape[1]), dim=-1) for one in through]
    own = log_p[:-1].gather(1, row[0, 1:, None])  # [T - 1, 1]
    return Glimpse(
        ids=list(ids),
        likely=likely.indices.cpu(),
        probability=likely.values.exp().cpu(),
        surprise=torch.cat((own.new_full((1,), float("nan")), -own[:, 0] / torch.log(own.new_tensor(2.0)))).cpu(),
        rank=torch.cat((row.new_zeros(1), 1 + (log_p[:-1] > own).sum(dim=1))).cpu(),
        places=places,
        lens=torch.stack([one.indices for one in lens]).cpu(),
        lens_probability=torch.stack([one.values for one in lens]).cpu(),
        attention=[weights[0].cpu() for weights in attention],
        attributions=_attributions(model, tokenizer, ids, int(likely.indices[-1, 0]), how, steps),
    )


def _row(row: Tensor) -> Rows:
    return Rows(input_ids=row, labels=row, document_ids=torch.zeros_like(row))


def _attributions(
    model: LanguageModel, tokenizer: Tokenizer, ids: Sequence[int], following: int, how: Attributions, steps: int
) -> Tensor | None:
    """Explain each token by those before it, and the token `following` by all."""
    if how is Attributions.none:
        return None
    baseline = baseline_embedding(model, Baseline.mean, tokenizer)
    found, asked = torch.zeros(len(ids) + 1, len(ids)), [*ids, following]
    for place in range(1, len(asked)):
        with torch.no_grad():
            x = model.embedding(torch.tensor(asked[:place], device=model.device)).detach().clone()
        score, at = score_of(model, asked[: place + 1], place, x[place:]), baseline.to(x).expand_as(x)
        if how is Attributions.gradient_x_input:
            found[place, :place] = gradient_times_input(score, x, at).float().cpu()
        else:
            integral = integrated_gradients(score, x, at, steps=steps, tolerance=TOLERANCE)
            found[place, :place] = integral.contributions.float().cpu()
    return found
