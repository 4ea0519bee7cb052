"""The objective: the regularised empirical risk  min over theta of  sum_i l(f(x_i; theta), y_i) + lambda R(theta).

How one number comes out right whatever the micro-batches and the ranks. Let n be the number of target tokens of the
whole global batch, W the ranks over whose gradients the mean is taken, and let each call return

    total = W * (sum of l and of the output terms over this micro-batch's targets) / n
            + [last micro-step] * sum_k lambda_k R_k(theta)

Then the **sum over micro-steps of the mean over ranks** of `total`, and of its gradient, is the mean loss of the global
batch plus sum_k lambda_k R_k: the factor W undoes the mean over ranks for what each rank sums by itself, while R, the
same on every rank, passes through the mean unchanged. `gradient_average_over` is W: the number of ranks that hold
different data (data-parallel size), not those that share it (tensor parallel); 1 without averaging. A trainer that
divides each micro-step by the number of accumulated ones (as Lightning does) must multiply `total` by that number.

Every entry of `parts` follows the same rule (sum over micro-steps, mean over ranks), and they add up to `total`; every
call names the same parts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from prospero.batch import IGNORE_INDEX
from prospero.errors import ConfigError, DataError
from prospero.objective.losses.cross_entropy import CrossEntropy
from prospero.objective.regularizers.base import (
    HiddenRegularizer,
    ParameterRegularizer,
    Regularizer,
    TokenRegularizer,
)
from prospero.objective.terms import TokenTerm, chunked_term_sums, term_sums
from prospero.optim.param_groups import decayed_parameters

Kind = TypeVar("Kind", bound=Regularizer)


class Output(Protocol):
    """What the objective reads of a `ModelOutput`."""

    hidden: Tensor
    logits: Tensor | None


class Head(Protocol):
    """What the objective asks of a model: logits from hidden states."""

    def project(self, hidden: Tensor) -> Tensor:
        """Return the logits [..., V] of `hidden` [..., D]."""
        ...


@dataclass(slots=True)
class ObjectiveOutput:
    """The objective's contribution of one micro-batch."""

    total: Tensor
    """Scalar to call backward on."""
    parts: dict[str, Tensor]
    """Name -> weighted contribution to `total`, detached scalars; the loss under its own name."""


class Objective:
    """A loss and named regularisers, summed with their weights.

    Give the model's output without logits (`model(..., logits=False)`): the objective then projects the hidden states
    itself, in chunks if the loss says so, and writes the logits' gradient over the logits. Logits that are given are
    used as they are and left whole.
    """

    def __init__(self, loss: CrossEntropy, regularizers: Mapping[str, Regularizer] | None = None) -> None:
        self.loss = loss
        self.regularizers = dict(regularizers or {})
        if loss.name in self.regularizers:
            raise ConfigError(f"regularizers.{loss.name} has the name of the loss; give it another")
        self._bound = False

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

    def __call__(
        self,
        model: Head,
        output: Output,
        batch: Mapping[str, Any],
        *,
        step: int,
        target_tokens: int,
        last_micro_step: bool = True,
        gradient_average_over: int = 1,
    ) -> ObjectiveOutput:
        """Return this micro-batch's contribution; see the head of this file for what it adds up to.

        `batch["labels"]` is [B, T] with IGNORE_INDEX where there is no target. `step` counts optimiser steps from 0,
        `target_tokens` the targets of the whole global batch: all ranks, all micro-steps.
        """
        if target_tokens < 1:
            raise DataError("the global batch has no target token; nothing can be learnt from it")
        scale = gradient_average_over / target_tokens
        total, parts = self._token_part(model, output, batch["labels"], step, scale)
        added: dict[str, Tensor] = {}
        for name, term in self._of_kind(HiddenRegularizer).items():
            weight = term.weight_at(step) * scale
            added[name] = weight * term.token_sum(output.hidden, batch) if weight else total.new_zeros(())
        for name, term in self._of_kind(ParameterRegularizer).items():
            if not self._bound:
                raise RuntimeError("call Objective.bind(model) before the first step: a term acts on the parameters")
            weight = term.weight_at(step) if last_micro_step else 0.0
            added[name] = weight * term.value() if weight else total.new_zeros(())
        for name, contribution in added.items():
            total = total + contribution
            parts[name] = contribution.detach()
        return ObjectiveOutput(total, parts)

    def loss_sum(self, model: Head, output: Output, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return (sum of the loss alone over the targets, number of targets), for validation; no regulariser counts."""
        with torch.no_grad():
            sums = self._sums([self.loss], torch.ones(1, device=labels.device), model, output, labels)[1]
        return sums[0], (labels != IGNORE_INDEX).sum()

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """Return what a resumed run needs: regulariser -> its tensors; empty unless one keeps some (l2_sp)."""
        states = {name: term.state_dict() for name, term in self._of_kind(ParameterRegularizer).items()}
        return {name: state for name, state in states.items() if state}

    def load_state_dict(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Take the state of `state_dict` back; call after `bind`. Regularisers that are new keep their own start."""
        terms = self._of_kind(ParameterRegularizer)
        for name in state.keys() & terms.keys():
            terms[name].load_state_dict(state[name])

    def _token_part(
        self, model: Head, output: Output, labels: Tensor, step: int, scale: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        weights = {self.loss.name: scale}
        terms: dict[str, TokenTerm] = {self.loss.name: self.loss}
        parts = {}
        for name, term in self._of_kind(TokenRegularizer).items():
            parts[name] = torch.zeros((), device=labels.device)
            if term.weight_at(step) != 0:
                terms[name] = term
                weights[name] = term.weight_at(step) * scale
        factors = torch.tensor(list(weights.values()), dtype=torch.float32).to(labels.device, non_blocking=True)
        total, sums = self._sums(list(terms.values()), factors, model, output, labels)
        parts.update(zip(terms, (sums.detach() * factors).unbind()))
        return total, parts

    def _sums(
        self, terms: list[TokenTerm], weights: Tensor, model: Head, output: Output, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return (weights . sums, sums) of the token terms, by the form that the loss's setting asks for."""
        hidden, labels = output.hidden.flatten(0, -2), labels.flatten()
        chunk = self.loss.chunk_tokens
        if output.logits is not None:
            logits = output.logits.flatten(0, -2)
            sums = term_sums(terms, lambda _: logits, hidden, labels, private=False)
        elif chunk is not None and chunk < labels.shape[0]:
            return chunked_term_sums(terms, weights, model.project, hidden, labels, chunk)
        else:
            sums = term_sums(terms, model.project, hidden, labels)
        return (sums * weights).sum(), sums

    def _of_kind(self, kind: type[Kind]) -> dict[str, Kind]:
        return {name: term for name, term in self.regularizers.items() if isinstance(term, kind)}
