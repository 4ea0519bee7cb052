"""The objective of preferences: a loss of pairs, perhaps with losses of the chosen answers' tokens beside it.

Every sequence of a batch holds one pair (see `data/packing/pairs.py`): the chosen answer behind its prompt as document
0, the rejected one behind the same prompt as document 1, and labels on the answers alone. The log-probabilities under
the frozen reference come with the batch, as `facts["reference"]`, float32 [B, 2]; it is not run here.

    total = W / n * sum over this micro-batch's pairs of [ w_p l_p(pair) + sum_k w_k (mean l_k of the chosen tokens) ]
            + the regularisers, as in objective.py

with n the pairs of the whole global batch: the mean over pairs, whatever the micro-batches and the ranks. A loss of
tokens beside the loss of pairs is the mean over the chosen answer's tokens, so that long answers count no more than
short ones: `loss=[dpo,cross_entropy]` is iterative RPO (Pang et al. 2024, arXiv:2404.19733, equation 1).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from prospero.batch import IGNORE_INDEX, Batch
from prospero.errors import ConfigError
from prospero.objective.losses.base import Loss
from prospero.objective.losses.grpo import GRPO
from prospero.objective.losses.pair import PairLoss, PairScores
from prospero.objective.objective import Objective
from prospero.objective.regularizers.base import Regularizer, TokenRegularizer
from prospero.objective.terms import (
    MeasuredPairs,
    Metric,
    Output,
    Project,
    TokenTerm,
    facts_of_terms,
    measured_tokens,
    token_scores,
)

REFERENCE = "reference"
"""The fact of a batch that holds the reference's log-probabilities, float32 [B, 2]: chosen, rejected."""
OBSERVED = ("accuracy", "margin", "chosen_reward", "rejected_reward")
"""What is logged of the pairs besides the loss, as `train/preference/<name>`."""


class PreferenceObjective(Objective):
    """One loss of pairs, losses of the chosen answers' tokens, and regularisers of any kind."""

    def __init__(self, losses: Mapping[str, Loss], regularizers: Mapping[str, Regularizer] | None = None) -> None:
        super().__init__(losses, regularizers)
        pairwise = {name: loss for name, loss in losses.items() if isinstance(loss, PairLoss)}
        if len(pairwise) != 1:
            raise ConfigError(f"loss=[...] names {len(pairwise)} losses of pairs ({', '.join(pairwise)}); choose one")
        self.pair_loss = next(iter(pairwise.values()))
        self._pair_sums: Callable[..., tuple[Tensor, Tensor, Tensor, Tensor]] = self._forward_and_pair_sums

    def compile(self, part: str | None) -> None:
        """Compile model and terms as one graph (`whole`); the terms alone stay as written, whatever `part`."""
        self._pair_sums = self._forward_and_pair_sums
        if part == "whole":
            self._pair_sums = torch.compile(self._forward_and_pair_sums, dynamic=False)

    @torch.no_grad()
    def measure(self, model: Any, batch: Batch, metrics: Iterable[Metric]) -> None:
        """Run `model` forward and hand the scores of tokens and pairs to `metrics`; no regulariser counts.

        The loss of a token is its nats: a loss of pairs is none of tokens.
        """
        metrics = list(metrics)
        output = model(**batch.inputs, logits=False)
        reads = frozenset[str]().union(*(metric.reads for metric in metrics))
        scores = measured_tokens([self.pair_loss], model.project, output, batch.labels, reads, self.chunk_tokens)
        answers = answer_masks(batch.labels, batch.inputs["document_ids"])
        pairs = pair_scores(scores.nats, answers, batch.facts[REFERENCE])
        loss = self.pair_loss.weight * self.pair_loss.per_pair(pairs)
        terms = [loss.measured() for loss in self.losses.values() if loss is not self.pair_loss]
        if terms:
            facts = facts_of_terms(terms, batch.facts)
            values = token_values(terms, model.project, output, batch.labels, facts, self.chunk_tokens)
            for term, value in zip(terms, values):
                loss = loss + term.weight * _chosen_mean(value, answers)
        scores.loss = scores.nats
        scores.pairs = MeasuredPairs(
            real=answers.any(1).all(-1),
            loss=loss,
            rewards=self.pair_loss.rewards(pairs),
            log_ratios=pairs.log_ratios,
            tokens=pairs.tokens,
        )
        for metric in metrics:
            metric.update(scores, batch)

    @torch.no_grad()
    def log_probabilities(self, model: Any, batch: Batch) -> Tensor:
        """Return log p of the chosen and the rejected answer of each sequence under `model`, float32 [B, 2].

        By the same operations as in training, so that a model that is its own reference has log-ratios of 0.
        """
        output = model(**batch.inputs, logits=False)
        nats = token_values([self.pair_loss], model.project, output, batch.labels, {}, self.chunk_tokens)[0]
        answers = answer_masks(batch.labels, batch.inputs["document_ids"])
        return pair_scores(nats, answers, torch.zeros(1, 2, device=nats.device)).policy

    def _token_part(
        self, model: Any, batch: Batch, step: int, scale: float
    ) -> tuple[Tensor, Tensor, dict[str, Tensor], dict[str, Tensor]]:
        device = batch.labels.device
        per_pair = scale * batch.target_tokens / batch.sequences  # W / n, of W / target tokens
        terms: dict[str, TokenTerm] = dict(self.losses)
        weights = {name: loss.weight * per_pair for name, loss in self.losses.items()}
        parts = {}
        for name, term in self._of_kind(TokenRegularizer).items():
            parts[name] = torch.zeros((), device=device)
            if term.weight_at(step) != 0:
                terms[name] = term
                weights[name] = term.weight_at(step) * scale
        factors = torch.tensor(list(weights.values()), dtype=torch.float32).to(device, non_blocking=True)
        made = {name: fact for term in terms.values() for name, fact in term.made_of(batch).items()}
        facts = facts_of_terms(terms.values(), {**batch.facts, **made}) | {REFERENCE: batch.facts[REFERENCE]}
        hidden, total, sums, observed = self._pair_sums(
            model, batch.inputs, batch.labels, facts, list(terms.values()), factors
        )
        parts.update(zip(terms, (sums.detach() * factors).unbind()))
        seen = zip((f"preference/{name}" for name in OBSERVED), (observed * per_pair).unbind())
        return hidden, total, parts, dict(seen)

    def _forward_and_pair_sums(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        labels: Tensor,
        facts: dict[str, Tensor],
        terms: list[TokenTerm],
        weights: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return (hidden, weights . sums, sums, sums of what OBSERVED names) of a micro-batch."""
        output = model(**inputs, logits=False)
        of_tokens = {name: fact for name, fact in facts.items() if name != REFERENCE}
        values = token_values(terms, model.project, output, labels, of_tokens, self.chunk_tokens)
        answers = answer_masks(labels, inputs["document_ids"])
        real = answers.any(1).all(-1)  # [B]
        with torch.autocast(labels.device.type, enabled=False):
            sums, rewards = [], None
            for term, value in zip(terms, values):
                if isinstance(term, PairLoss):
                    pairs = pair_scores(value, answers, facts[REFERENCE])
                    rewards = self.pair_loss.rewards(pairs).detach()
                    sums.append(torch.where(real, term.per_pair(pairs), 0.0).sum())
                elif isinstance(term, TokenRegularizer):
                    sums.append(value.sum())
                else:
                    sums.append(torch.where(real, _chosen_mean(value, answers), 0.0).sum())
            stacked = torch.stack(sums)
            assert rewards is not None, "there is one loss of pairs"
            return output.hidden, (stacked * weights).sum(), stacked, _observed_sums(rewards, real)


def objective_of(
    losses: Mapping[str, Loss], regularizers: Mapping[str, Regularizer], sources: Sequence[str] = ()
) -> Objective:
    """Return the objective that these losses make: of pairs where one of them is of pairs, else of tokens.

    The losses of tokens are logged by `sources` too, but where the model writes its own text, which is of none.
    """
    if any(isinstance(loss, PairLoss) for loss in losses.values()):
        return PreferenceObjective(losses, regularizers)
    objective = Objective(losses, regularizers)
    if not any(isinstance(loss, GRPO) for loss in losses.values()):
        objective.observe_sources(sources)
    return objective


def answer_masks(labels: Tensor, document_ids: Tensor) -> Tensor:
    """Return bool [B, T, 2]: which targets are of the chosen and which of the rejected answer."""
    halves = torch.stack([document_ids == 0, document_ids == 1], dim=-1)
    return halves & (labels != IGNORE_INDEX)[..., None]


def pair_scores(nats: Tensor, answers: Tensor, reference: Tensor) -> PairScores:
    """Sum -`nats` [B, T] over the answers."""
    tokens = answers.sum(1).clamp(min=1).float()
    return PairScores(-torch.where(answers, nats[..., None], 0.0).sum(1), reference, tokens)


def token_values(
    terms: Sequence[TokenTerm],
    project: Project,
    output: Output,
    labels: Tensor,
    facts: Mapping[str, Tensor],
    chunk_tokens: int | None,
) -> Tensor:
    """Return each term at each position, [len(terms), B, T] float32, 0 where there is no target.

    With `chunk_tokens` the logits of that many positions live at a time; the gradient projects each chunk once more.
    What weighs a token in a loss of pairs is known only when the whole pair is: the sums cannot be differentiated on
    the way, as those of losses of tokens are.
    """
    hidden, flat = output.hidden.flatten(0, -2), labels.flatten()
    facts = {name: fact.flatten(0, 1) for name, fact in facts.items()}
    if output.logits is not None:
        logits = output.logits.flatten(0, -2)
        values = _values(terms, lambda _: logits, hidden, flat, facts, private=False)
    elif chunk_tokens is None or chunk_tokens >= flat.shape[0]:
        values = _values(terms, project, hidden, flat, facts, private=True)
    else:
        parts = []
        for start in range(0, flat.shape[0], chunk_tokens):
            rows = slice(start, start + chunk_tokens)
            cut = {name: fact[rows] for name, fact in facts.items()}
            arguments = (terms, project, hidden[rows], flat[rows], cut)
            parts.append(checkpoint(_values, *arguments, private=True, use_reentrant=False, preserve_rng_state=False))
        values = torch.cat(parts, dim=1)
    return values.unflatten(1, labels.shape)


def _values(
    terms: Sequence[TokenTerm],
    project: Project,
    hidden: Tensor,
    labels: Tensor,
    facts: Mapping[str, Tensor],
    *,
    private: bool,
) -> Tensor:
    """Return [len(terms), N]; see `terms.term_sums`, which sums it."""
    logits = project(hidden)
    reads = frozenset({name for term in terms for name in term.reads})
    with torch.autocast(logits.device.type, enabled=False):
        scores = token_scores(logits, labels, reads, overwrite=private)
        scores.facts = facts
        mask = labels != IGNORE_INDEX
        return torch.stack([torch.where(mask, term.per_token(scores), 0.0) for term in terms])


def _chosen_mean(values: Tensor, answers: Tensor) -> Tensor:
    """Return the mean of `values` [B, T] over the tokens of the chosen answers, [B]."""
    chosen = answers[..., 0]
    tokens = chosen.sum(-1).clamp(min=1)
    return torch.where(chosen, values, 0.0).sum(-1) / tokens


def _observed_sums(rewards: Tensor, real: Tensor) -> Tensor:
    """Return the sums over the pairs of what OBSERVED names, [4]; a tie is half right."""
    margin = rewards[:, 0] - rewards[:, 1]
    right = (margin > 0).float() + 0.5 * (margin == 0).float()
    return torch.where(real, torch.stack([right, margin, rewards[:, 0], rewards[:, 1]]), 0.0).sum(1)
