"""What every loss and every output penalty sees of the model's predictions, computed once and shared.

Legend: N tokens (of one chunk), V vocabulary, D d_model.

Cross-entropy, z-loss, label smoothing and the confidence penalty are all functions of the same few numbers a row of
logits has: its log-sum-exp and the logit of the target. One autograd function gives both, works through the rows in
blocks that stay in the processor's cache, holds no float32 copy of bfloat16 logits, and can write the gradient over
the logits themselves, so that no second [N, V] tensor is made.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from prospero.batch import IGNORE_INDEX, Batch
from prospero.errors import DataError

_BLOCK_ELEMENTS_CPU = 2**20  # 4 MB of float32: measured best of 2**19 .. 2**24 on two cores
_BLOCK_ELEMENTS_ACCELERATOR = 2**26

Project = Callable[[Tensor], Tensor]
"""hidden [N, D] -> logits [N, V]."""


@dataclass(slots=True)
class TokenScores:
    """The predictions for N tokens; every tensor but `labels` is connected to the graph.

    The optional ones are None unless a term `reads` them.
    """

    labels: Tensor
    """[N], the target ids; 0 where there is no target (the caller masks those)."""
    log_sum_exp: Tensor
    """[N], float32: log sum_v exp(logits)."""
    target_logit: Tensor
    """[N], float32: the logit of the label."""
    mean_logit: Tensor | None
    """[N], float32: the mean over the vocabulary."""
    expected_logit: Tensor | None
    """[N], float32: sum_v p_v logit_v, with p the softmax; the entropy is log_sum_exp - expected_logit."""
    logits: Tensor | None
    """[N, V], in the precision of the head (bfloat16 under autocast)."""
    facts: Mapping[str, Tensor] = field(default_factory=dict)
    """What the terms name in `facts`, each [N] or [N, ...], without a graph."""


class TokenTerm(ABC):
    """A term of the objective that is a sum over target tokens of a function of the logits."""

    reads: frozenset[str] = frozenset()
    """Which of `mean_logit`, `expected_logit` and `logits` it reads; `logits` costs memory for their gradient."""
    facts: frozenset[str] = frozenset()
    """Which of the batch's facts it reads; each has a value, or several, for every position: [B, T] or [B, T, ...]."""

    def made_of(self, batch: Batch) -> dict[str, Tensor]:
        """Return those of its facts that it makes of a batch of training itself, without a graph; none for most."""
        return {}

    @abstractmethod
    def per_token(self, scores: TokenScores) -> Tensor:
        """Return the term of each token, [N] float32; tokens without a target are left out by the caller."""


class WeightedTerm(Protocol):
    """A loss: a token term with a weight."""

    weight: float
    reads: frozenset[str]
    facts: frozenset[str]

    def per_token(self, scores: TokenScores) -> Tensor:
        """Return the loss of each token, [N]."""
        ...


class Output(Protocol):
    """What is read of a `ModelOutput`."""

    hidden: Tensor
    logits: Tensor | None


@dataclass(slots=True)
class MeasuredPairs:
    """What a metric sees of B pairs, a sequence each; the last dimension of 2 is (chosen, rejected)."""

    real: Tensor
    """bool [B]: whether the sequence holds a pair, or only fills up a batch."""
    loss: Tensor
    """float32 [B]: the sum of weight x loss."""
    rewards: Tensor
    """float32 [B, 2]: what the loss takes as the worth of each answer."""
    log_ratios: Tensor
    """float32 [B, 2]: log pi(answer) - log pi_reference(answer)."""
    tokens: Tensor
    """float32 [B, 2]: the tokens of each answer."""


@dataclass(slots=True)
class MeasuredTokens:
    """What a metric of validation sees of a micro-batch: numbers of each position, [B, T], without a graph.

    The last three are None unless a metric `reads` them.
    """

    mask: Tensor
    """bool: whether the position is a target; elsewhere the other numbers mean nothing."""
    nats: Tensor
    """float32: -log p(label)."""
    loss: Tensor
    """float32: the sum of weight x loss; nats where cross_entropy is the only loss."""
    predicted: Tensor | None
    """int64: the likeliest token."""
    entropy: Tensor | None
    """float32: the entropy of the prediction, in nats."""
    logits: Tensor | None
    """[B, T, V], in the precision of the head."""
    pairs: MeasuredPairs | None = None
    """The pairs, where the batch is made of such; `loss` is then nats."""


class Metric(Protocol):
    """What `Objective.measure` feeds: see `prospero.evaluation.metrics.base.TokenMetric`."""

    reads: frozenset[str]

    def update(self, scores: MeasuredTokens, batch: Batch) -> None:
        """Take the scores of one micro-batch."""
        ...


class _RowScores(torch.autograd.Function):
    """(logits [N, V], labels [N]) -> (log-sum-exp, logit of the label, mean logit, expected logit), each [N] float32.

    With p the softmax and E the expected logit, the gradients to logit k are p_k; 1 at the label; 1 / V; and
    p_k (1 + logit_k - E).
    """

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, labels: Tensor, reads: frozenset[str], overwrite: bool
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        log_sum_exp = torch.empty(logits.shape[0], dtype=torch.float32, device=logits.device)
        mean = torch.empty_like(log_sum_exp) if "mean_logit" in reads else None
        expected = torch.empty_like(log_sum_exp) if "expected_logit" in reads else None
        for rows in _row_blocks(logits):
            block = logits[rows].float()
            log_sum_exp[rows] = torch.logsumexp(block, dim=-1)
            if mean is not None:
                mean[rows] = block.mean(-1)
            if expected is not None:
                expected[rows] = torch.sub(block, log_sum_exp[rows, None]).exp_().mul_(block).sum(-1)
        ctx.save_for_backward(logits, labels, log_sum_exp, expected)
        ctx.overwrite = overwrite
        return log_sum_exp, logits.gather(-1, labels[:, None]).squeeze(-1).float(), mean, expected

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_log_sum_exp: Tensor, grad_target: Tensor, grad_mean: Tensor | None, grad_expected: Tensor | None
    ) -> tuple[Tensor, None, None, None]:
        logits, labels, log_sum_exp, expected = ctx.saved_tensors
        # Writing raises the version of `logits`: whoever else saved them gets an error, not a wrong number.
        grad = logits if ctx.overwrite else torch.empty_like(logits)
        for rows in _row_blocks(logits):
            shift, scale = log_sum_exp[rows, None], grad_log_sum_exp[rows, None]
            if expected is not None and grad_expected is not None:
                block = logits[rows].float()
                slope = grad_expected[rows, None]
                scale = (scale + slope * (1 - expected[rows, None])).addcmul(slope, block)
            in_place = grad[rows] if logits.dtype == torch.float32 else None
            block_grad = torch.sub(logits[rows].float(), shift, out=in_place).exp_().mul_(scale)
            if grad_mean is not None:
                block_grad.add_(grad_mean[rows, None] / logits.shape[-1])
            if in_place is None:
                grad[rows] = block_grad.to(grad.dtype)
        grad.scatter_add_(-1, labels[:, None], grad_target[:, None].to(grad.dtype))
        return grad, None, None, None


def _row_blocks(logits: Tensor) -> list[slice]:
    """Cut the rows into blocks of a bounded number of elements."""
    elements = _BLOCK_ELEMENTS_CPU if logits.device.type == "cpu" else _BLOCK_ELEMENTS_ACCELERATOR
    size = max(1, elements // logits.shape[-1])
    return [slice(start, start + size) for start in range(0, logits.shape[0], size)]


def token_scores(logits: Tensor, labels: Tensor, reads: frozenset[str], *, overwrite: bool = False) -> TokenScores:
    """Return the scores of `logits` [N, V] at `labels` [N]; `overwrite` lets the gradient take the logits' memory."""
    safe = labels.clamp(min=0)
    if torch.compiler.is_compiling():
        return _scores_for_the_compiler(logits, safe, reads)
    overwrite = overwrite and logits.grad_fn is not None and "logits" not in reads
    results = _RowScores.apply(logits, safe, reads, overwrite)
    return TokenScores(safe, *results, logits if "logits" in reads else None)  # type: ignore[misc]


def _scores_for_the_compiler(logits: Tensor, labels: Tensor, reads: frozenset[str]) -> TokenScores:
    """Return the same scores in operations that a compiler fuses, the gradient too."""
    wide = logits.float()
    log_sum_exp = torch.logsumexp(wide, dim=-1)
    if logits.device.type == "cpu":
        target = logits.gather(-1, labels[:, None]).squeeze(-1).float()
    else:  # in the same pass as the sum; the gradient of a gather would be a second [N, V] tensor
        tokens = torch.arange(logits.shape[-1], device=logits.device)
        target = torch.where(tokens == labels[:, None], wide, 0.0).sum(-1)
    mean = wide.mean(-1) if "mean_logit" in reads else None
    expected = None
    if "expected_logit" in reads:
        expected = ((wide - log_sum_exp[:, None]).exp() * wide).sum(-1)
    return TokenScores(labels, log_sum_exp, target, mean, expected, logits if "logits" in reads else None)


def facts_of_terms(terms: Iterable[TokenTerm | WeightedTerm], facts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return those of a batch's `facts` that the terms read; DataError, naming the term, where one is not there."""
    needed: dict[str, Tensor] = {}
    for term in terms:
        for name in sorted(term.facts):
            if name not in facts:
                there = f"those are {', '.join(facts)}" if facts else "there are none"
                raise DataError(f"{type(term).__name__} reads '{name}' of the batch's facts, and {there}")
            needed[name] = facts[name]
    return needed


def term_sums(
    terms: Sequence[TokenTerm],
    project: Project,
    hidden: Tensor,
    labels: Tensor,
    facts: Mapping[str, Tensor],
    *,
    private: bool = True,
) -> Tensor:
    """Return the sum of each term over the targets, [len(terms)] float32.

    `hidden` [N, D] goes through `project`; each of `facts` is [N, ...]. `private` says that nobody else holds the
    logits, so they may be overwritten by their gradient.
    """
    logits = project(hidden)
    reads = frozenset({name for term in terms for name in term.reads})  # the compiler reads it too
    with torch.autocast(logits.device.type, enabled=False):  # sums and products of sums in float32
        scores = token_scores(logits, labels, reads, overwrite=private)
        scores.facts = facts
        mask = labels != IGNORE_INDEX
        return torch.stack([torch.where(mask, term.per_token(scores), 0.0).sum() for term in terms])


def chunked_term_sums(
    terms: Sequence[TokenTerm],
    weights: Tensor,
    project: Project,
    hidden: Tensor,
    labels: Tensor,
    facts: Mapping[str, Tensor],
    chunk_tokens: int,
) -> tuple[Tensor, Tensor]:
    """Return (weights . sums, sums [len(terms)]) with the logits of at most `chunk_tokens` tokens alive at a time.

    The gradient is computed during the forward pass, chunk by chunk (as in Liger kernels, Hsu et al. 2024,
    arXiv:2410.10989), so the head is not run twice. Only the first result is differentiable.
    """
    if not torch.is_grad_enabled():
        chunks = [slice(start, start + chunk_tokens) for start in range(0, len(labels), chunk_tokens)]
        parts = [term_sums(terms, project, hidden[c], labels[c], _rows_of(facts, c)) for c in chunks]
        sums = torch.stack(parts).sum(0)
        return (sums * weights).sum(), sums
    parameters = _parameters_of(project, hidden)
    total, sums = _ChunkedTerms.apply(  # type: ignore[misc]
        terms, weights, project, labels, facts, chunk_tokens, hidden, *parameters
    )
    return total, sums


def _rows_of(facts: Mapping[str, Tensor], rows: slice) -> dict[str, Tensor]:
    return {name: fact[rows] for name, fact in facts.items()}


def weighted_sums(
    terms: Sequence[TokenTerm],
    weights: Tensor,
    project: Project,
    output: Output,
    labels: Tensor,
    chunk_tokens: int | None,
    term_sums: Callable[..., Tensor] = term_sums,
    facts: Mapping[str, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Return (weights . sums, sums) of the terms over `labels` [B, T], at most `chunk_tokens` projected at a time.

    `facts` are those that the terms read, each [B, T, ...] (`facts_of_terms`). `term_sums` may be a compiled one; it
    computes what is not cut into chunks.
    """
    hidden, labels = output.hidden.flatten(0, -2), labels.flatten()
    facts = {name: fact.flatten(0, 1) for name, fact in (facts or {}).items()}
    if output.logits is not None:
        logits = output.logits.flatten(0, -2)
        sums = term_sums(terms, lambda _: logits, hidden, labels, facts, private=False)
    elif chunk_tokens is not None and chunk_tokens < labels.shape[0]:
        return chunked_term_sums(terms, weights, project, hidden, labels, facts, chunk_tokens)
    else:
        sums = term_sums(terms, project, hidden, labels, facts)
    return (sums * weights).sum(), sums


class _ChunkedTerms(torch.autograd.Function):
    """The weighted sum of terms and its gradient to the hidden states and the head's parameters, in one pass."""

    @staticmethod
    def forward(
        ctx: Any,
        terms: Sequence[TokenTerm],
        weights: Tensor,
        project: Project,
        labels: Tensor,
        facts: Mapping[str, Tensor],
        chunk_tokens: int,
        hidden: Tensor,
        *parameters: Tensor,
    ) -> tuple[Tensor, Tensor]:
        grad_hidden = torch.empty_like(hidden)
        grads: list[Tensor | None] = [None] * len(parameters)
        sums = torch.zeros_like(weights)
        for start in range(0, hidden.shape[0], chunk_tokens):
            rows = slice(start, start + chunk_tokens)
            with torch.enable_grad():
                part = hidden[rows].detach().requires_grad_()
                part_sums = term_sums(terms, project, part, labels[rows], _rows_of(facts, rows))
                part_grads = torch.autograd.grad((part_sums * weights).sum(), (part, *parameters), allow_unused=True)
            grad_hidden[rows] = part_grads[0]
            grads = [_add(total, new) for total, new in zip(grads, part_grads[1:])]
            sums += part_sums.detach()
        ctx.save_for_backward(grad_hidden, *grads)
        ctx.mark_non_differentiable(sums)
        return (sums * weights).sum(), sums

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_total: Tensor, _grad_sums: Tensor) -> tuple[Tensor | None, ...]:
        grads = [None if saved is None else saved * grad_total.to(saved.dtype) for saved in ctx.saved_tensors]
        return (None, None, None, None, None, None, *grads)


def _add(total: Tensor | None, new: Tensor | None) -> Tensor | None:
    if total is None or new is None:
        return new if total is None else total
    return total.add_(new)


def _parameters_of(project: Project, hidden: Tensor) -> list[Tensor]:
    """Find the leaves that `project` uses by walking the graph of one token's projection."""
    with torch.enable_grad():
        node = project(hidden[:1].detach()).grad_fn
    leaves: dict[int, Tensor] = {}
    seen, stack = set(), [node]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)  # of an AccumulateGrad
        if leaf is not None:
            leaves[id(leaf)] = leaf
        stack.extend(next_node for next_node, _ in node.next_functions)
    return list(leaves.values())


def measured_tokens(
    losses: Iterable[WeightedTerm],
    project: Project,
    output: Output,
    labels: Tensor,
    reads: frozenset[str],
    chunk_tokens: int | None = None,
    facts: Mapping[str, Tensor] | None = None,
) -> MeasuredTokens:
    """Return the numbers of each position of `labels` [B, T]; the logits of `chunk_tokens` tokens live at a time.

    `reads` names the fields of `MeasuredTokens` that are wanted besides the first three: predicted, entropy, logits.
    The losses read their facts of `facts`, the batch's; DataError where one is not there.
    """
    losses = list(losses)
    needed = {name: fact.flatten(0, 1) for name, fact in facts_of_terms(losses, facts or {}).items()}
    hidden, flat = output.hidden.flatten(0, -2), labels.flatten()
    size = len(flat) if chunk_tokens is None else chunk_tokens
    columns: dict[str, list[Tensor]] = {}
    for start in range(0, len(flat), size):
        rows = slice(start, start + size)
        logits = project(hidden[rows]) if output.logits is None else output.logits.flatten(0, -2)[rows]
        for name, column in _measure_rows(losses, logits, flat[rows], _rows_of(needed, rows), reads).items():
            columns.setdefault(name, []).append(column)
    whole = {name: torch.cat(parts).unflatten(0, labels.shape) for name, parts in columns.items()}
    return MeasuredTokens(
        mask=labels != IGNORE_INDEX,
        nats=whole["nats"],
        loss=whole["loss"],
        predicted=whole.get("predicted"),
        entropy=whole.get("entropy"),
        logits=whole.get("logits"),
    )


def _measure_rows(
    losses: list[WeightedTerm], logits: Tensor, labels: Tensor, facts: Mapping[str, Tensor], reads: frozenset[str]
) -> dict[str, Tensor]:
    """Return the columns of `MeasuredTokens` for some rows of logits."""
    needed = frozenset[str]().union(*(loss.reads for loss in losses))
    needed |= {"expected_logit"} if "entropy" in reads else set()
    with torch.autocast(logits.device.type, enabled=False):
        scores = token_scores(logits, labels, needed)
        scores.facts = facts
        columns = {"nats": scores.log_sum_exp - scores.target_logit}
        columns["loss"] = torch.stack([loss.weight * loss.per_token(scores) for loss in losses]).sum(0)
        if "predicted" in reads:
            columns["predicted"] = logits.argmax(-1)
        if scores.expected_logit is not None and "entropy" in reads:
            columns["entropy"] = scores.log_sum_exp - scores.expected_logit
        if "logits" in reads:
            columns["logits"] = logits
    return columns
