"""Attribution: which tokens of a text made the next one likely. The methods themselves stand in saliency.py.

What is explained is the log-probability of a target after a prompt. A token is its embedding, before positions are
added; taken out, it is the baseline's embedding at the same place.

Shapes: S variants of a text side by side, T tokens, E width of the token embedding, V vocabulary.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from prospero.analysis.base import Analysis, model_of, whole
from prospero.analysis.saliency import Score, gradient_times_input, integrated_gradients, leave_one_out, loss_without
from prospero.analysis.text_rows import TextRows, TextRowsConfig
from prospero.analysis.unit_texts import shown, token_text
from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.errors import ConfigError
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.measurement import Measured, Outcome, Quantity, Subject, Table
from prospero.generation.decoder import evaluating
from prospero.generation.engine import first_ids
from prospero.model.base import LanguageModel
from prospero.model.hooks import uncompiled
from prospero.runs.figures import GREY, INK

METHODS = ("integrated_gradients", "gradient_x_input", "leave_one_out")
REMOVED_SHARE = 0.2
"""Of the tokens that a method ranks first, how many are taken out to see what they were worth."""
RANDOM_DRAWS = 8
"""Choices of as many tokens at random, to compare with."""
MOST_DRAWN = 4
"""Texts in the picture."""
MOST_TOKENS_DRAWN = 40
"""Tokens of each: the last ones."""


class Baseline(Enum):
    """What a token is compared with: nothing (zero), the mean of all tokens (mean), or the document separator (pad)."""

    zero = "zero"
    mean = "mean"
    pad = "pad"


@dataclass(kw_only=True, slots=True)
class AttributionConfig(TextRowsConfig):
    """Which tokens made the next one likely: integrated gradients, gradient x input, leave one out."""

    prompts: list[str] = field(default_factory=list)
    """Texts to explain; without any, pieces of text, each with the token that truly follows it as the target."""
    target: str | None = None
    """With prompts: the text after them whose log-probability is explained; null: the model's likeliest next token."""
    baseline: Baseline = Baseline.mean
    """What an embedding is compared with: zero, mean (of all embeddings) or pad (the document separator's)."""
    steps: int = 1024
    """Gradients at most for the integral of one text; as many are computed as the tolerance needs."""
    tolerance: float = 0.01
    """By how much integrated gradients may miss the difference that they must add up to, in nats."""
    seq_len: int | None = 48
    """Without prompts: tokens of a text; null: as in the model's training, at most 256."""

    def __post_init__(self) -> None:
        TextRowsConfig.__post_init__(self)
        if self.steps < 8:
            raise ConfigError(f"steps={self.steps} must be at least 8, the gradients of one piece of the integral")
        if not self.tolerance > 0:
            raise ConfigError(f"tolerance={self.tolerance} must be above 0")
        if "" in self.prompts:
            raise ConfigError("prompts= holds an empty text; there is no token whose part could be told")
        if self.prompts and (self.path is not None or self.limit is not None):
            raise ConfigError("prompts= are the texts; leave path= and limit= out, or leave prompts= out")
        if self.target is not None and not self.prompts:
            raise ConfigError(f"target={self.target!r} is what follows prompts=[...]; give them, or leave it out")
        if self.target == "":
            raise ConfigError("target= is empty; give the text whose log-probability is explained, or leave it out")

    def build(self, name: str, facts: AnalysisFacts) -> "Attribution":
        """Return the analysis with its texts found."""
        return Attribution(name, self, None if self.prompts else self.rows(name, facts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """What made a target likely."""

    target: list[int]
    """Its ids."""
    log_probability: float
    """Of the target, in nats."""
    baseline: float
    """The same where all tokens before it are the baseline's."""
    by_method: Mapping[str, Tensor]
    """Method -> contribution of each token of the prompt in nats, float64 [T]."""
    removed: Mapping[str, float]
    """Method -> what the target loses without the tokens that the method ranks first (`REMOVED_SHARE`), in nats; by
    `random` as many that a coin has chosen, in the mean of `RANDOM_DRAWS`."""
    gap: float
    """Sum of integrated gradients - (log_probability - baseline)."""
    steps: int
    """Gradients that it took."""


def explain(
    model: LanguageModel,
    ids: Sequence[int],
    target: Sequence[int] | None,
    *,
    baseline: Tensor,
    steps: int,
    tolerance: float,
    rows: int = 16,
) -> Explained:
    """Explain the log-probability of `target` after `ids`; None: of the likeliest next token.

    `baseline` [E] is an embedding. Parameters get no gradient; the model should be in evaluation mode.
    """
    with torch.no_grad():
        wanted = list(target) if target is not None else [likeliest(model, ids)]
        x = model.embedding(torch.tensor([*ids, *wanted[:-1]], device=model.device)).detach().clone()
    score = score_of(model, [*ids, *wanted], len(ids), x[len(ids) :])
    x = x[: len(ids)]
    at = baseline.to(x).expand_as(x)
    integral = integrated_gradients(score, x, at, steps=steps, tolerance=tolerance)
    by_method = {
        "integrated_gradients": integral.contributions,
        "gradient_x_input": gradient_times_input(score, x, at),
        "leave_one_out": leave_one_out(score, x, at, rows=rows),
    }
    rankings = {name: [found.argsort(descending=True, stable=True)] for name, found in by_method.items()}
    coin = torch.Generator().manual_seed(len(ids))
    rankings["random"] = [torch.randperm(len(ids), generator=coin) for _ in range(RANDOM_DRAWS)]
    count = max(1, round(REMOVED_SHARE * len(ids)))
    removed = {
        name: float(torch.stack([loss_without(score, x, at, order[:count]) for order in orders]).mean())
        for name, orders in rankings.items()
    }
    with torch.no_grad():
        ends = score(torch.stack([x, at])).double().tolist()
    return Explained(
        target=wanted, log_probability=ends[0], baseline=ends[1], by_method=by_method, removed=removed,
        gap=integral.gap, steps=integral.steps,
    )  # fmt: skip


def likeliest(model: LanguageModel, ids: Sequence[int]) -> int:
    """Return the id that the model finds likeliest after `ids`."""
    hidden = model(torch.tensor([list(ids)], device=model.device), logits=False).hidden
    return int(model.project(hidden[0, -1]).argmax())


def score_of(model: LanguageModel, ids: Sequence[int], prompt: int, fixed: Tensor) -> Score:
    """Return the log-probability of ids[prompt:] as a function of the embeddings [S, prompt, E] of what stands before.

    `fixed` [len(ids) - prompt - 1, E] are the embeddings of the target's own tokens, its last one left out.
    """
    read, asked = torch.tensor([list(ids[:-1])], device=model.device), torch.tensor(ids[prompt:], device=model.device)

    def score(points: Tensor) -> Tensor:
        rows = len(points)
        values = torch.cat([points, fixed.to(points).expand(rows, -1, -1)], dim=1)
        with embedded(model, values):
            hidden = model(read.expand(rows, -1), logits=False).hidden[:, prompt - 1 :]
        scores = model.project(hidden).float().log_softmax(dim=-1)  # [S, len(asked), V]
        return scores.gather(2, asked.expand(rows, -1).unsqueeze(2)).sum(dim=(1, 2))

    return score


@contextmanager
def embedded(model: LanguageModel, values: Tensor) -> Iterator[None]:
    """Let the model read `values` [B, T, E] in place of the embeddings of whatever tokens it is given."""
    handle = model.embedding.register_forward_hook(lambda *_: values)
    try:
        with uncompiled():
            yield
    finally:
        handle.remove()


def baseline_embedding(model: LanguageModel, baseline: Baseline, tokenizer: Tokenizer) -> Tensor:
    """Return the embedding [E] that a token is compared with."""
    weight = whole(model.embedding.weight).detach()
    if baseline is Baseline.zero:
        return torch.zeros_like(weight[0])
    return weight.mean(dim=0) if baseline is Baseline.mean else weight[tokenizer.eot_id].clone()


class Attribution(Analysis):
    """Explains one target of each text."""

    one_process = True

    def __init__(self, name: str, config: AttributionConfig, rows: TextRows | None) -> None:
        super().__init__(name)
        self.config, self.rows = config, rows

    @property
    def caveats(self) -> list[str]:
        """What an attribution cannot say."""
        return [
            "A contribution is relative to the baseline: another one (zero, mean, pad) gives other numbers. Tokens "
            "that act together share their effect in integrated gradients, and leave-one-out sees none of it where "
            "one of them is enough; what is shown is the model's reaction, not a reason (Jacovi and Goldberg 2020).",
            "Taking tokens out makes texts that the model never saw; removed/... measures its reaction to those, too.",
        ]

    @property
    def quantities(self) -> list[Quantity]:
        """How exactly contributions add up, how methods agree with leaving one out, what the first tokens are worth."""
        agreement = [Quantity(name=f"agreement/{method}") for method in METHODS[:2]]
        removed = [Quantity(name=f"removed/{method}") for method in (*METHODS, "random")]
        return [
            Quantity(name="log_probability"),
            Quantity(name="complete"),
            Quantity(name="gap", higher_is_better=False),
            *agreement,
            *removed,
        ]

    @property
    def size(self) -> int:
        """How many texts are explained."""
        return len(self.config.prompts) if self.rows is None else self.rows.size

    @property
    def facts(self) -> dict[str, Any]:
        """The method's settings, and which text was read."""
        of = {"prompts": self.config.prompts} if self.rows is None else dict(self.rows.facts)
        return {"baseline": self.config.baseline.name, "tolerance": self.config.tolerance, **of}

    def outcomes(self, subject: Subject, items: Sequence[int]) -> Iterator[Outcome]:
        """Explain one text after another."""
        model, config = model_of(subject), self.config
        if self.rows is not None:
            self.rows.check(subject)
        at = baseline_embedding(model, config.baseline, subject.tokenizer)
        for item in items:
            ids, target = self._text(subject, item)
            with evaluating(model):
                found = explain(
                    model, ids, target, baseline=at, steps=config.steps, tolerance=config.tolerance, rows=subject.rows
                )
            yield Outcome(item, _statistics(found, config.tolerance), _record(found, ids, subject.tokenizer))

    def _text(self, subject: Subject, item: int) -> tuple[list[int], list[int] | None]:
        """Return the ids of a text, and those of its target; None: what the model finds likeliest."""
        if self.rows is not None:
            row = self.rows.read([item])
            place = int((row.labels[0] >= 0).nonzero().max())
            return row.input_ids[0, : place + 1].tolist(), [int(row.labels[0, place])]
        prompt, tokenizer = self.config.prompts[item], subject.tokenizer
        ids = first_ids(tokenizer, prompt)
        target = None
        if self.config.target is not None:
            together = first_ids(tokenizer, prompt + self.config.target)
            cut = ids == together[: len(ids)]
            target = together[len(ids) :] if cut else tokenizer.encode(self.config.target)
        length, window = len(ids) + len(target or [0]) - 1, subject.decoder.window
        if window is not None and length > window:
            raise ConfigError(
                f"analyses.{self.name}.prompts: text {item + 1} has {length:,} tokens, and the model reads {window:,}"
            )
        return ids, target

    def tables(self, measured: Measured) -> list[Table]:
        """Return the tokens that counted most, a row for each text."""
        columns = ["text", "target", "log p", "at the baseline", "gap", "gradients", "most for it", "most against it"]
        rows = [_row(outcome.record) for outcome in measured.outcomes]
        return [Table(title="Integrated gradients, in nats", columns=columns, rows=rows)]

    def draw(self, measured: Measured, figure: Any) -> bool:
        """Draw the contributions of the first texts, a strip for each method."""
        shown = measured.outcomes[:MOST_DRAWN]
        figure.set_size_inches(12.0, 1.7 * len(shown) + 0.3)
        for axes, outcome in zip(np.atleast_1d(figure.subplots(len(shown), 1)), shown):
            _strips(axes, outcome.record)
        return True


def _statistics(found: Explained, tolerance: float) -> dict[str, list[float]]:
    effect = found.by_method["leave_one_out"]
    agreement = {
        f"agreement/{method}": _with_count(rank_correlation(found.by_method[method], effect)) for method in METHODS[:2]
    }
    return {
        "log_probability": [found.log_probability, 1.0],
        "complete": [float(abs(found.gap) <= tolerance), 1.0],
        "gap": [abs(found.gap), 1.0],
        **agreement,
        **{f"removed/{method}": [lost, 1.0] for method, lost in found.removed.items()},
    }


def rank_correlation(a: Tensor, b: Tensor) -> float:
    """Return Spearman's correlation of a and b [n]; NaN where one of them is constant or n < 3."""
    if len(a) < 3:
        return float("nan")
    ranks = [rankdata(x.cpu().numpy()) for x in (a, b)]
    if min(np.ptp(rank) for rank in ranks) == 0:
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])


def _with_count(value: float) -> list[float]:
    return [0.0, 0.0] if np.isnan(value) else [value, 1.0]


def _record(found: Explained, ids: Sequence[int], tokenizer: Tokenizer) -> dict[str, Any]:
    target = tokenizer.decode(found.target)
    if not target or "\ufffd" in target:  # a separator, or a piece of a character
        target = "".join(token_text(tokenizer, id_) for id_ in found.target)
    return {
        "prompt": tokenizer.decode(ids),
        "target": target,
        "log_probability": round(found.log_probability, 5),
        "at_baseline": round(found.baseline, 5),
        "gap": found.gap,
        "gradients": found.steps,
        "tokens": [shown(token_text(tokenizer, id_)) for id_ in ids],
        "contributions": {name: [round(v, 5) for v in values.tolist()] for name, values in found.by_method.items()},
    }


def _row(record: Mapping[str, Any]) -> list[Any]:
    values = np.array(record["contributions"]["integrated_gradients"])
    order = np.argsort(values, kind="stable")

    def named(places: np.ndarray, sign: int) -> str:
        return ", ".join(f"'{record['tokens'][p]}' {values[p]:+.2f}" for p in places if sign * values[p] > 0)

    head = [record["prompt"][-60:], record["target"], record["log_probability"], record["at_baseline"]]
    return [*head, record["gap"], record["gradients"], named(order[::-1][:4], 1), named(order[:2], -1)]


def _strips(axes: Any, record: Mapping[str, Any]) -> None:
    tokens = record["tokens"][-MOST_TOKENS_DRAWN:]
    values = np.array([record["contributions"][method] for method in METHODS])[:, -MOST_TOKENS_DRAWN:]
    largest = np.abs(values).max(axis=1, keepdims=True)
    axes.imshow(values / np.where(largest > 0, largest, 1), cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    axes.set_xticks(range(len(tokens)), [token[:12].replace("$", r"\$") for token in tokens], rotation=60, ha="right")
    labels = [f"{method.replace('_', ' ')} (±{size:.2g})" for method, size in zip(METHODS, largest[:, 0])]
    axes.set_yticks(range(len(METHODS)), labels)
    axes.tick_params(colors=GREY, labelsize=7, length=0)
    axes.spines[:].set_visible(False)
    title = (
        f"log p({record['target']!r}) = {record['log_probability']:.2f}, at the baseline {record['at_baseline']:.2f}"
    )
    axes.set_title(title, loc="left", fontsize=9, color=INK, parse_math=False)
