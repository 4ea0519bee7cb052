"""The objective: the regularised empirical risk  min over theta of  sum_i l(f(x_i; theta), y_i) + lambda R(theta).

It owns the forward pass: it is given the model and a batch, so that whoever trains, measures or tests a learning rate
never calls the model by hand.

How one number comes out right whatever the micro-batches and the ranks. Let n be the number of target tokens of the
whole global batch, W the ranks over whose gradients the mean is taken, and let each call return

    total = W * (sum of weight_k l_k and of the output terms over this micro-batch's targets) / n
            + [last micro-step] * sum_k lambda_k R_k(theta)

Then the **sum over micro-steps of the mean over ranks** of `total`, and of its gradient, is the mean loss of the global
batch plus sum_k lambda_k R_k: the factor W undoes the mean over ranks for what each rank sums by itself, while R, the
same on every rank, passes through the mean unchanged. A trainer that divides each micro-step by the number of
accumulated ones (as Lightning does) must multiply `total` by that number.

Every entry of `parts` follows the same rule (sum over micro-steps, mean over ranks), and they add up to `total`; every
call names the same parts.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from prospero.batch import Batch
from prospero.errors import ConfigError, DataError
from prospero.objective.by_source import observed_by_source
from prospero.objective.losses.base import Loss
from prospero.objective.regularizers.base import (
    HiddenRegularizer,
    ParameterRegularizer,
    Regularizer,
    TokenRegularizer,
)
from prospero.objective.terms import Metric, TokenTerm, facts_of_terms, measured_tokens, term_sums, weighted_sums
from prospero.optim.param_groups import decayed_parameters

Kind = TypeVar("Kind", bound=Regularizer)


@dataclass(slots=True, kw_only=True, frozen=True)
class Share:
    """Which part of an optimiser step a micro-batch is."""

    step: int = 0
    """Optimiser steps taken before, on which weights of regularisers may depend."""
    last_micro_step: bool = True
    """Whether it is the last of its step, in which the terms on parameters are counted."""
    gradient_average_over: int = 1
    """W: the ranks that hold different data and whose gradients are averaged; tensor parallel ranks share theirs."""


@dataclass(slots=True)
class ObjectiveOutput:
    """The objective's contribution of one micro-batch."""

    total: Tensor
    """Scalar to call backward on."""
    parts: dict[str, Tensor]
    """Name -> weighted contribution to `total`, detached scalars; each loss and regulariser under its own name."""
    observed: dict[str, Tensor] = field(default_factory=dict)
    """Name -> what is logged besides, by the same rule of sums; no part of `total`."""


class Objective:
    """Named losses and named regularisers, summed with their weights.

    The model is asked for hidden states (`logits=False`): the objective projects them itself, in chunks if a loss says
    so, and writes the logits' gradient over the logits. Logits that a model returns all the same are used and left
    whole.
    """

    def __init__(self, losses: Mapping[str, Loss], regularizers: Mapping[str, Regularizer] | None = None) -> None:
        self.losses = dict(losses)
        self.regularizers = dict(regularizers or {})
        if not self.losses:
            raise ConfigError("loss=[] leaves nothing to learn; choose at least one, such as loss=[cross_entropy]")
        for name in self.losses.keys() & self.regularizers.keys():
            raise ConfigError(f"regularizers.{name} has the name of a loss; give it another")
        chunks = [loss.chunk_tokens for loss in self.losses.values() if loss.chunk_tokens is not None]
        self.chunk_tokens = min(chunks, default=None)
        self._observed = {f"{of}/{name}": t for of, loss in self.losses.items() for name, t in loss.observed().items()}
        self._bound = False
        self._forward: Callable[..., tuple[Tensor, Tensor, Tensor]] = self._forward_and_sums
        self._term_sums: Callable[..., Tensor] = term_sums

    def observe_sources(self, names: Sequence[str]) -> None:
        """Log the losses of training by the source of the text, too; batches have `source_ids`, places in `names`."""
        self._observed |= observed_by_source(names, self.losses, [*self.losses, *self.regularizers])

    def bind(self, model: nn.Module) -> None:
        """Let the parameter regularisers take their parameters from `model`: the decayed ones, as weight decay does.

        Call it once, when the parameters are those that the optimiser will hold (after sharding) and have the values
        the run starts from (l2_sp copies them), before a checkpoint is loaded.
        """
        terms = self._of_kind(ParameterRegularizer)
        if terms:
            parameters: dict[str, Tensor] = dict(decayed_parameters(model))
            for term in terms.values():
                term.bind(parameters)
        self._bound = True

    @property
    def bound(self) -> bool:
        """Whether `bind` has been called."""
        return self._bound

    def __call__(self, model: Any, batch: Batch, share: Share) -> ObjectiveOutput:
        """Run `model` forward and return this micro-batch's contribution; the head of this file says what adds up.

        Raises DataError when the global batch has no target.
        """
        if batch.target_tokens < 1:
            raise DataError("the global batch has no target token; nothing can be learnt from it")
        scale = share.gradient_average_over / batch.target_tokens
        hidden, total, parts, observed = self._token_part(model, batch, share.step, scale)
        added: dict[str, Tensor] = {}
        for name, term in self._of_kind(HiddenRegularizer).items():
            weight = term.weight_at(share.step) * scale
            added[name] = weight * term.token_sum(hidden, batch) if weight else total.new_zeros(())
        for name, term in self._of_kind(ParameterRegularizer).items():
            if share.last_micro_step and not self._bound:
                raise RuntimeError("call Objective.bind(model) before the first step: a term acts on the parameters")
            weight = term.weight_at(share.step) if share.last_micro_step else 0.0
            added[name] = weight * term.value() if weight else total.new_zeros(())
        for name, contribution in added.items():
            total = total + contribution
            parts[name] = contribution.detach()
        return ObjectiveOutput(total, parts, observed)

    @torch.no_grad()
    def measure(self, model: Any, batch: Batch, metrics: Iterable[Metric]) -> None:
        """Run `model` forward and hand each token's scores to `metrics`; no regulariser counts."""
        metrics = list(metrics)
        output = model(**batch.inputs, logits=False)
        reads = frozenset[str]().union(*(metric.reads for metric in metrics))
        losses = [loss.measured() for loss in self.losses.values()]
        scores = measured_tokens(losses, model.project, output, batch.labels, reads, self.chunk_tokens, batch.facts)
        for metric in metrics:
            metric.update(scores, batch)

    @property
    def facts(self) -> frozenset[str]:
        """Which facts of a training batch its terms read."""
        terms = [*self.losses.values(), *self._observed.values(), *self._of_kind(TokenRegularizer).values()]
        return frozenset[str]().union(*(term.facts for term in terms))

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """Return what a resumed run needs: regulariser -> its tensors; empty unless one keeps some (l2_sp)."""
        states = {name: term.state_dict() for name, term in self._of_kind(ParameterRegularizer).items()}
        return {name: state for name, state in states.items() if state}

    def load_state_dict(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Take the state of `state_dict` back; call after `bind`. Regularisers that are new keep their own start."""
        terms = self._of_kind(ParameterRegularizer)
        for name in state.keys() & terms.keys():
            terms[name].load_state_dict(state[name])

    def compile(self, part: str | None) -> None:
        """Compile a part of what a micro-batch computes from now on; None computes it as written.

        `whole` is the model and the terms on its tokens as one graph, `terms` the head and the terms alone. The same
        function with fewer passes over memory; results differ by rounding. Measuring stays as it is.
        """
        self._forward, self._term_sums = self._forward_and_sums, term_sums
        if part == "whole":
            self._forward = torch.compile(self._forward_and_sums, dynamic=False)
        elif part == "terms":
            self._term_sums = torch.compile(term_sums, dynamic=False)

    def _token_part(
        self, model: Any, batch: Batch, step: int, scale: float
    ) -> tuple[Tensor, Tensor, dict[str, Tensor], dict[str, Tensor]]:
        terms: dict[str, TokenTerm] = dict(self.losses)
        weights = {name: loss.weight * scale for name, loss in self.losses.items()}
        parts = {}
        for name, term in self._of_kind(TokenRegularizer).items():
            parts[name] = torch.zeros((), device=batch.labels.device)
            if term.weight_at(step) != 0:
                terms[name] = term
                weights[name] = term.weight_at(step) * scale
        summed = [*terms.values(), *self._observed.values()]
        values = [*weights.values(), *([0.0] * len(self._observed))]
        factors = torch.tensor(values, dtype=torch.float32).to(batch.labels.device, non_blocking=True)
        made = {name: fact for term in summed for name, fact in term.made_of(batch).items()}
        facts = facts_of_terms(summed, {**batch.facts, **made})
        hidden, total, sums = self._forward(model, batch.inputs, batch.labels, facts, summed, factors)
        parts.update(zip(terms, (sums.detach() * factors).unbind()))
        observed = zip(self._observed, (sums.detach()[len(terms) :] * scale).unbind()) if self._observed else ()
        return hidden, total, parts, dict(observed)

    def _forward_and_sums(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        labels: Tensor,
        facts: dict[str, Tensor],
        terms: list[TokenTerm],
        weights: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return (hidden, weights . sums, sums) of a micro-batch."""
        output = model(**inputs, logits=False)
        sums = weighted_sums(terms, weights, model.project, output, labels, self.chunk_tokens, self._term_sums, facts)
        return output.hidden, *sums

    def _of_kind(self, kind: type[Kind]) -> dict[str, Kind]:
        return {name: term for name, term in self.regularizers.items() if isinstance(term, kind)}
