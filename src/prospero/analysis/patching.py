"""Activation patching: at which layer and place does a model hold what its answer depends on?

Two prompts of the same length differ in a token or two, so that another answer is right. The model reads the corrupted
prompt, with the activation of the clean one put in at one layer and place. What comes back of the difference between
the logits of the two answers, as a share of what the corruption took, is `restored` (Vig et al. 2020, arXiv:2004.12265;
Meng et al. 2022, arXiv:2202.05262; on the choice of a measure, Zhang and Nanda 2023, arXiv:2309.16042).

Places are the changed tokens, those between them and the last one, and the last one, which predicts the answer.

Shapes: T places, C layers at which is patched, G groups of places, P single places, D d_model.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prospero.analysis.base import Analysis, model_of
from prospero.analysis.cells import cells_of, cells_with_intervals, mean_cell, row_of
from prospero.analysis.pictures import curves, place_map
from prospero.analysis.prompt_pairs import PromptPair, pairs_wanted
from prospero.analysis.reading import layer_points
from prospero.data.records import RecordsConfig, fingerprint
from prospero.errors import ConfigError
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.measurement import Measured, Outcome, Quantity, Subject, Table
from prospero.generation.decoder import evaluating
from prospero.model.base import LanguageModel
from prospero.model.hooks import record, replace
from prospero.model.taps import Change

GROUPS = ("changed", "between", "last")
ROWS_AT_ONCE = 64
"""Prompts that are read side by side."""
FIELDS = ("clean", "corrupted", "answer", "wrong")


class PatchedAt(Enum):
    """Which activation is put in."""

    residual = "residual"
    attention = "attention"
    feed_forward = "feed_forward"


@dataclass(kw_only=True, slots=True)
class PatchingConfig:
    """Where the difference between two prompts is held: what patching one layer and place brings back."""

    clean: str | None = None
    """A prompt. Without one: lines of Python up to a closing bracket, or the records of `data`."""
    corrupted: str | None = None
    """The same with something changed; it must have as many tokens."""
    answer: str | None = None
    """What should follow the clean prompt; its first token counts."""
    wrong: str | None = None
    """What should follow the corrupted one."""
    data: RecordsConfig = field(default_factory=RecordsConfig)
    """Records with fields of these four names."""
    at: PatchedAt = PatchedAt.residual
    """What is put in: the residual stream after a layer, or what its attention or feed-forward adds to it."""
    limit: int | None = None
    """Pairs of prompts; null: as the host says, else 32 (8 within a training)."""

    def __post_init__(self) -> None:
        given = [name for name in FIELDS if getattr(self, name) is not None]
        if given and len(given) < len(FIELDS):
            missing = [name for name in FIELDS if name not in given]
            raise ConfigError(f"{', '.join(given)} given without {', '.join(missing)}; give all four, or none")
        if given and self.data.given:
            raise ConfigError("clean= and data= are two sources of prompts; give one of them")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit={self.limit} leaves nothing to look at; choose 1 or more, or null")

    @property
    def own(self) -> dict[str, str] | None:
        """The four texts, where they are given."""
        if self.clean is None or self.corrupted is None or self.answer is None or self.wrong is None:
            return None
        return {"clean": self.clean, "corrupted": self.corrupted, "answer": self.answer, "wrong": self.wrong}

    def build(self, name: str, facts: AnalysisFacts) -> "Patching":
        """Return the analysis with its prompts encoded; DataError where two do not fit together."""
        if self.at is not PatchedAt.residual and facts.n_heads is None:
            raise ConfigError(f"analyses.{name}.at={self.at.name}: a model={facts.model_kind} has only at=residual")
        pairs, origin = pairs_wanted(name, self.own, self.data, self.limit, facts)
        return Patching(name, pairs, self.at, origin)


class Patching(Analysis):
    """Reads each corrupted prompt once for each layer and place, with a piece of the clean one put in."""

    def __init__(self, name: str, pairs: Sequence[PromptPair], at: PatchedAt, origin: Mapping[str, Any]) -> None:
        super().__init__(name)
        self.pairs, self.at, self.origin = pairs, at, origin

    @property
    def quantities(self) -> list[Quantity]:
        """The difference of logits on both prompts; what comes back at each group of places, in the mean of layers."""
        groups = [Quantity(name=f"restored_{group}", finish=mean_cell) for group in GROUPS]
        return [Quantity(name="clean"), Quantity(name="corrupted", higher_is_better=False), *groups]

    @property
    def size(self) -> int:
        """How many pairs there are."""
        return len(self.pairs)

    @property
    def facts(self) -> dict[str, Any]:
        """What the pairs are, and what was put in."""
        values = [[pair.clean, pair.corrupted, pair.answer, pair.wrong] for pair in self.pairs]
        return {"at": self.at.name, "fingerprint": fingerprint(values), **self.origin}

    @property
    def caveats(self) -> list[str]:
        """What such numbers cannot say."""
        return [
            "What comes back says that the information is there and is used from there, for these prompts; it does "
            "not say that it is nowhere else. With pairs that the model does not tell apart (clean near corrupted), "
            "the shares are noise."
        ]

    def outcomes(self, subject: Subject, items: Sequence[int]) -> Iterator[Outcome]:
        """Patch one pair after the other."""
        model = model_of(subject)
        names = patched_points(model, self.at)
        window = subject.decoder.window
        for item in items:
            pair = self.pairs[item]
            if window is not None and len(pair.clean) > window:
                raise ConfigError(
                    f"analyses.{self.name}: a prompt of {len(pair.clean)} tokens is more than the {window:,} that the "
                    "model reads at once"
                )
            with evaluating(model), torch.inference_mode():
                yield self._outcome(item, pair, model, names)

    def _outcome(self, item: int, pair: PromptPair, model: LanguageModel, names: Sequence[str]) -> Outcome:
        groups = pair.groups()
        singles = {str(place): [place] for place in range(pair.first_changed, len(pair.clean))} if item == 0 else {}
        wanted = [*groups.values(), *singles.values()]
        clean, corrupted, patched = patched_differences(model, pair, names, wanted)
        effects = patched - corrupted  # [C, G + P]
        statistics = {"clean": [clean, 1.0], "corrupted": [corrupted, 1.0]}
        for column, group in enumerate(groups):
            statistics[f"restored_{group}"] = row_of(effects[:, column], clean - corrupted)
        told: dict[str, Any] = {**pair.shown(), "logit difference": f"{clean:.2f} clean, {corrupted:.2f} corrupted"}
        if item == 0:
            told["layers"] = [_shown(name) for name in names]
            told["tokens"] = pair.tokens[pair.first_changed :]
            told["map"] = np.round(effects[:, len(groups) :] / _not_zero(clean - corrupted), 3).tolist()
        return Outcome(item, statistics, told)

    def tables(self, measured: Measured) -> list[Table]:
        """Return what comes back at each layer."""
        layers, rows = measured.outcomes[0].record["layers"], []
        cells = {group: cells_of(measured, f"restored_{group}") for group in GROUPS}
        last = cells_with_intervals(measured, "restored_last", range(len(layers)))
        for number, (layer, cell) in enumerate(zip(layers, last)):
            shares = [round(float(cells[group][number]), 6) + 0.0 for group in GROUPS]  # no -0.0000
            rows.append([layer, *shares, cell.low, cell.high])
        columns = ["patched after", "changed tokens", "between", "last token", "low", "high"]
        return [Table(title="Share of the logit difference that comes back", columns=columns, rows=rows)]

    def draw(self, measured: Measured, figure: Any) -> bool:
        """Draw what comes back over the layers, and the map of the first pair, layers x places."""
        told = measured.outcomes[0].record
        layers = [layer.replace("block ", "") for layer in told["layers"]]
        left, right = figure.subplots(1, 2, width_ratios=[1, 1.4])
        series = {
            f"{group} token{'' if group == 'last' else 's'}": list(cells_of(measured, f"restored_{group}"))
            for group in GROUPS
        }
        curves(left, layers, series, "What patching brings back", "share of the logit difference")
        left.set_xlabel("block")
        place_map(figure, right, np.asarray(told["map"]), layers, told["tokens"], "First pair")
        return True


def patched_points(model: LanguageModel, at: PatchedAt) -> list[str]:
    """Return the points at which is patched, in order."""
    if at is PatchedAt.residual:
        return ["embedding", *layer_points(model)]
    return [f"block.{layer}.{at.name}.output" for layer in range(len(model.blocks))]


def patched_differences(
    model: LanguageModel, pair: PromptPair, names: Sequence[str], groups: Sequence[Sequence[int]]
) -> tuple[float, float, np.ndarray]:
    """Return the logit difference answer - wrong of the clean prompt, of the corrupted one, and patched [C, G]."""
    both = torch.tensor([pair.clean, pair.corrupted], device=model.device)
    with record(model, names) as found:
        clean, corrupted = _differences(model, both, pair)
    kept = {name: found[name][0] for name in names}  # [T, D]
    wanted = [(name, group) for name in names for group in groups]
    values = []
    for start in range(0, len(wanted), ROWS_AT_ONCE):
        some = wanted[start : start + ROWS_AT_ONCE]
        changes = {
            name: _put_in(kept[name], [(row, group) for row, (at, group) in enumerate(some) if at == name])
            for name in dict.fromkeys(name for name, _ in some)
        }
        with replace(model, changes):
            values += _differences(model, both[1:].expand(len(some), -1), pair)
    return clean, corrupted, np.asarray(values).reshape(len(names), len(groups))


def _put_in(clean: Tensor, wanted: Sequence[tuple[int, Sequence[int]]]) -> Change:
    """Return what puts the clean activation [T, D] into values [B, T, D], in each row at its places."""

    def change(there: Tensor, time: int | None = None) -> Tensor:
        changed = there.clone()
        for row, places in wanted:
            changed[row, list(places)] = clean[list(places)]
        return changed

    return change


def _differences(model: LanguageModel, ids: Tensor, pair: PromptPair) -> list[float]:
    """Return logit(answer) - logit(wrong) after each prompt of ids [B, T]."""
    logits = model.project(model(ids, logits=False).hidden[:, -1]).double()
    return (logits[:, pair.answer] - logits[:, pair.wrong]).tolist()


def _not_zero(value: float) -> float:
    return value if value else float("nan")


def _shown(point: str) -> str:
    return f"block {point.split('.')[1]}" if point.startswith("block.") else point
