"""A sparse autoencoder on the activations of one point: features that are few at a time (Gao et al. 2024).

It is trained on what the model's own text makes of the point, and judged on other text: how much variance it leaves
unexplained, and how much loss the model recovers when it goes on from the reconstruction, between its own loss (1) and
that with the point set to zero (0). The autoencoder and its training stand in topk_autoencoder.py.

Shapes: R rows, T tokens of a row, D width of the point, L latents.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from prospero.analysis.base import Analysis, model_of
from prospero.analysis.reading import Rows, layer_points, nats_of, read
from prospero.analysis.text_rows import MOST_SEQ_LEN, TextRows, TextRowsConfig
from prospero.analysis.topk_autoencoder import TopKAutoencoder, train_autoencoder
from prospero.analysis.unit_texts import check_has_units, direction_of, in_context, listed, most_moving, promoted
from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.errors import ConfigError, DataError
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.measurement import Measured, Outcome, Quantity, Subject, Table, ratio
from prospero.generation.decoder import evaluating
from prospero.log import log
from prospero.model.base import LanguageModel
from prospero.model.hooks import matching, record, replace
from prospero.paths import atomic_path
from prospero.runs.figures import GREY, style

LATENTS_PER_WIDTH = 4
"""Latents where nobody says how many, by the width of the point."""
TRAINED, TRAINED_IN_TRAINING = (50_000, 1000), (8_000, 200)
"""Activations and steps where nobody says how many, in a command and within a training of the model."""
JUDGED_ROWS = 32
"""Rows of other text, where nobody says how many."""
TOKENS_SHOWN = 6
"""Tokens that a latent raises most."""


@dataclass(kw_only=True, slots=True)
class AutoencoderConfig(TextRowsConfig):
    """A TopK sparse autoencoder on one point: variance unexplained, dead latents, loss recovered, dashboards."""

    point: str | None = None
    """Whose activations; null: the stream after the block in the middle."""
    latents: int | None = None
    """Directions that are learned; null: 4 for each channel of the point."""
    k: int = 16
    """Latents that are on at a time."""
    tokens: int | None = None
    """Activations to train on, of the training text where the run's data are here, else of a part of the text; null:
    50,000, within a training 8,000."""
    steps: int | None = None
    """Steps of the autoencoder's training; null: 1000, within a training of the model 200."""
    batch_size: int = 512
    """Activations a step."""
    lr: float = 0.001
    """Learning rate of Adam; it falls to 0 over the last fifth of the steps."""
    shown: int = 12
    """Latents with a dashboard: those that are on most often of those that are on less than every tenth time."""
    texts: int = 5
    """Texts for each of them, of different rows."""
    context: int = 12
    """Tokens that are shown on either side."""
    limit: int | None = None
    """Rows that it is judged on; null: as the host says, else 32."""

    def __post_init__(self) -> None:
        TextRowsConfig.__post_init__(self)
        for name, least in (("k", 1), ("tokens", 100), ("steps", 1), ("batch_size", 1), ("shown", 0), ("texts", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"{name}={value} must be at least {least}")
        if self.context < 0 or not self.lr > 0:
            raise ConfigError(f"context={self.context} must be at least 0, and lr={self.lr} above 0")
        if self.latents is not None and self.latents <= self.k:
            raise ConfigError(f"latents={self.latents} must be more than k={self.k}, those that are on at a time")
        if self.point is not None:
            check_has_units(self.point, "point")
        if self.split == "train" and self.path is None:
            raise ConfigError("split=train is what the autoencoder is trained on; judge it on val or test")

    def build(self, name: str, facts: AnalysisFacts) -> "Autoencoder":
        """Return the analysis with the rows to train on and those to judge by."""
        tokens, steps = TRAINED_IN_TRAINING if facts.training else TRAINED
        tokens, steps = self.tokens or tokens, self.steps or steps
        return Autoencoder(name, self, _texts(self, name, facts, tokens), tokens=tokens, steps=steps, seed=facts.seed)


def _texts(config: AutoencoderConfig, name: str, facts: AnalysisFacts, tokens: int) -> "tuple[_Side, _Side]":
    """Return the rows to train on and those to judge by."""
    judged, length = config.limit or facts.limit or JUDGED_ROWS, row_length(config, facts)
    wanted = math.ceil(tokens / length)
    if config.path is None and facts.data is not None:
        sides = [
            TextRowsConfig(split=split, seq_len=config.seq_len, limit=limit).rows(name, facts)
            for split, limit in (("train", wanted), (config.split, judged))
        ]
        return tuple(_Side(rows, range(rows.size)) for rows in sides)  # type: ignore[return-value]
    rows = TextRowsConfig(path=config.path, seq_len=config.seq_len, limit=wanted + judged).rows(name, facts)
    if rows.size < 2:
        raise DataError(f"analyses.{name}: {rows.size} row of {length} tokens is too little text to train and judge by")
    share = min(judged, max(1, rows.size // 4))  # the last rows, so that neighbours are not on both sides
    return _Side(rows, range(rows.size - share)), _Side(rows, range(rows.size - share, rows.size))


def row_length(config: TextRowsConfig, facts: AnalysisFacts) -> int:
    """Return the tokens of a row."""
    return config.seq_len or min(facts.seq_len or MOST_SEQ_LEN, MOST_SEQ_LEN)


@dataclass(frozen=True, slots=True)
class _Side:
    """Some rows of a text."""

    rows: TextRows
    numbers: range

    def read(self, start: int, stop: int) -> Rows:
        return self.rows.read(list(self.numbers[start:stop]))

    def __len__(self) -> int:
        return len(self.numbers)


class Autoencoder(Analysis):
    """An item is a row of text to judge by; the autoencoder is trained when a model is seen for the first time."""

    one_process = True

    def __init__(
        self,
        name: str,
        config: AutoencoderConfig,
        sides: tuple[_Side, _Side],
        *,
        tokens: int,
        steps: int,
        seed: int,
    ) -> None:
        super().__init__(name)
        self.config, self.tokens, self.steps, self.seed = config, tokens, steps, seed
        self.train, self.judge = sides
        self.trained: TopKAutoencoder | None = None
        """Of the model that was measured last."""
        self._trained_for: Subject | None = None
        self._never_on: float = math.nan
        self._dashboards: list[dict[str, Any]] = []

    @property
    def quantities(self) -> list[Quantity]:
        """Loss recovered, variance unexplained, sparseness, latents that are dead, and the three losses."""
        return [
            Quantity(name="loss_recovered", finish=ratio),
            Quantity(name="unexplained", finish=ratio, higher_is_better=False),
            Quantity(name="l0", finish=ratio, higher_is_better=False),
            Quantity(name="dead", higher_is_better=False),
            Quantity(name="loss", higher_is_better=False),
            Quantity(name="loss_reconstructed", higher_is_better=False),
            Quantity(name="loss_zero", higher_is_better=False),
        ]

    @property
    def size(self) -> int:
        """How many rows it is judged on."""
        return len(self.judge)

    @property
    def facts(self) -> dict[str, Any]:
        """Which text it was trained and judged on."""
        trained = {**self.train.rows.facts, "tokens": self.tokens, "steps": self.steps, "seed": self.seed}
        return {"trained_on": trained, "judged_on": dict(self.judge.rows.facts)}

    @property
    def caveats(self) -> list[str]:
        """What such numbers cannot say."""
        return [
            "Loss recovered is measured against the point set to zero, which harms a model beyond measure: 0.9 of it "
            "may be a loss that a model of a tenth of the compute reaches (Gao et al. 2024, section 4.1). Compare "
            "loss and loss_reconstructed.",
            "Another seed finds other latents in part (Paulo and Belrose 2025, arXiv:2501.16615); a latent is a "
            "direction that is useful for rebuilding, not a concept that the model must have.",
        ]

    def outcomes(self, subject: Subject, items: Sequence[int]) -> Iterator[Outcome]:
        """Judge `subject.rows` rows at a time."""
        model = model_of(subject)
        point = self._point(model)
        if self._trained_for is not subject:
            self.judge.rows.check(subject)
            with evaluating(model):
                self._train(model, point, subject)
            self._trained_for = subject
        assert self.trained is not None, "trained just now"
        for start in range(0, len(items), subject.rows):
            some = list(items[start : start + subject.rows])
            with evaluating(model), torch.no_grad():
                statistics = self._judged(model, point, some)
            for item, numbers in zip(some, statistics):
                # What is known of the whole stands with the first row alone.
                about = {"point": point, "latents": self._dashboards} if item == 0 else {}
                dead = [self._never_on, 1.0] if item == 0 else [0.0, 0.0]
                text = self.judge.rows.shown(self.judge.numbers[item])
                yield Outcome(item, {**numbers, "dead": dead}, {"text": text, **about})

    def _point(self, model: LanguageModel) -> str:
        if self.config.point is None:
            return layer_points(model)[(len(model.blocks) - 1) // 2]
        names = matching(model, [self.config.point])
        if len(names) > 1:
            raise ConfigError(f"point={self.config.point} means {len(names)} points; an autoencoder reads one")
        return names[0]

    @torch.no_grad()
    def _activations(self, model: LanguageModel, point: str, side: _Side, at_once: int) -> Tensor:
        """Return what stands at the point, float32 [R, T, D]."""
        parts = []
        for start in range(0, len(side), at_once):
            with record(model, [point]) as found:
                read(model, side.read(start, start + at_once).to(model.device))
            parts.append(found[point].flatten(2).float())
        return torch.cat(parts)

    def _train(self, model: LanguageModel, point: str, subject: Subject) -> None:
        config = self.config
        x = self._activations(model, point, self.train, subject.rows).flatten(0, 1)[: self.tokens]
        latents = config.latents or LATENTS_PER_WIDTH * x.shape[1]
        if latents <= config.k:
            raise ConfigError(f"analyses.{self.name}.k={config.k} must be less than the {latents} latents")
        log.info("%s: training %s latents on %s activations of %s", self.name, f"{latents:,}", f"{len(x):,}", point)
        self.trained = train_autoencoder(
            x, latents=latents, k=config.k, steps=self.steps, batch_size=config.batch_size, lr=config.lr,
            seed=self.seed,
        )  # fmt: skip
        on = torch.zeros(latents, dtype=torch.bool, device=x.device)
        for some in x.split(4096):
            values, places = self.trained.encode(some)
            on[places[values > 0]] = True
        self._never_on = 1 - float(on.float().mean())
        self._dashboards = self._described(model, point, subject)

    @torch.no_grad()
    def _judged(self, model: LanguageModel, point: str, items: Sequence[int]) -> list[dict[str, list[float]]]:
        """Return the statistics of some rows: sums over their tokens."""
        assert self.trained is not None, "trained before"
        trained = self.trained
        rows = self.judge.rows.read([self.judge.numbers[item] for item in items]).to(model.device)
        with record(model, [point]) as found:
            clean = nats_of(model, read(model, rows), rows.labels)
        x = found[point].flatten(2).float()
        values, places = trained.encode(x)
        rebuilt = trained.decode(values, places)
        losses = [clean]
        for value in (rebuilt, torch.zeros_like(rebuilt)):
            with replace(model, {point: value.view(found[point].shape).to(found[point])}):
                losses.append(nats_of(model, read(model, rows), rows.labels))
        nats = [loss.double().sum(dim=1) for loss in losses]  # clean, rebuilt, zero: [R]
        asked = (rows.labels >= 0).sum(dim=1).double()
        sums = {
            "loss_recovered": (nats[2] - nats[1], nats[2] - nats[0]),
            "unexplained": ((x - rebuilt).double().square().sum(dim=(1, 2)), _around(x, trained)),
            "l0": ((values > 0).double().sum(dim=(1, 2)), torch.full_like(asked, x.shape[1])),
            "loss": (nats[0], asked),
            "loss_reconstructed": (nats[1], asked),
            "loss_zero": (nats[2], asked),
        }
        return [{name: [float(part[row]) for part in pair] for name, pair in sums.items()} for row in range(len(items))]

    @torch.no_grad()
    def _described(self, model: LanguageModel, point: str, subject: Subject) -> list[dict[str, Any]]:
        """Return dashboards of latents, by the rows to judge by."""
        assert self.trained is not None, "trained before"
        x = self._activations(model, point, self.judge, subject.rows)
        values, places = self.trained.encode(x)  # [R, T, k]
        often = torch.zeros(self.trained.latents, device=x.device)
        often.index_add_(0, places[values > 0], torch.ones_like(values[values > 0]))
        often = often / x.shape[:2].numel()
        rare = often.masked_fill(often > 0.1, 0.0)  # what is nearly always on is no feature of a text
        ids = self.judge.rows.read(list(self.judge.numbers)).input_ids.numpy()
        found = []
        for latent in rare.argsort(descending=True, stable=True)[: self.config.shown].tolist():
            if rare[latent] > 0:
                mine = ((places == latent) * values).sum(dim=-1).cpu().numpy()
                found.append(self._latent(model, point, latent, float(often[latent]), mine, ids, subject.tokenizer))
        return found

    def _latent(
        self, model: LanguageModel, point: str, latent: int, often: float, values: np.ndarray, ids: np.ndarray,
        tokenizer: Tokenizer,
    ) -> dict[str, Any]:  # fmt: skip
        assert self.trained is not None, "trained before"
        on = values[values.max(axis=1) > 0], ids[values.max(axis=1) > 0]
        top = most_moving(*on, tokenizer, count=self.config.texts, context=self.config.context)
        direction = direction_of(model, point, self.trained.decoder[:, latent])
        speaks = {} if direction is None else promoted(model, point, direction, tokenizer, TOKENS_SHOWN)
        return {"latent": latent, "on": round(often, 5), "texts": [one.plain() for one in top], **speaks}

    def tables(self, measured: Measured) -> list[Table]:
        """Return an overview of latents, and the texts that turn them on most."""
        latents = measured.outcomes[0].record["latents"]
        overview = [[one["latent"], one["on"], listed(one, "raised"), listed(one, "lowered")] for one in latents]
        texts = [[one["latent"], text["value"], in_context(text)] for one in latents for text in one["texts"]]
        point = measured.outcomes[0].record["point"]
        columns = ("latent", "share of tokens", "raises", "lowers")
        return [
            Table(title=f"Latents of {point}", columns=columns, rows=overview),
            Table(title="Texts that turn them on most", columns=("latent", "value", "«token» in its text"), rows=texts),
        ]

    def draw(self, measured: Measured, figure: Any) -> bool:
        """Draw the three losses."""
        axes = figure.subplots()
        style(axes)
        names = ("loss", "loss_reconstructed", "loss_zero")
        values = [measured.value(name) for name in names]
        bars = axes.barh(["the model's own", "from the reconstruction", "point set to zero"], values, color="#4c78a8")
        axes.bar_label(bars, [f"{value:.3f}" for value in values], padding=4, fontsize=9)
        axes.invert_yaxis()
        axes.set_xlabel("loss (nats per token)", color=GREY, fontsize=9)
        recovered, left = measured.value("loss_recovered"), measured.value("unexplained")
        axes.set_title(f"loss recovered {recovered:.1%}, variance unexplained {left:.1%}", loc="left", fontsize=10)
        figure.set_size_inches(8.0, 2.6)
        return True

    def leave(self, folder: Path) -> None:
        """Write the autoencoder as <name>.safetensors: encoder [L, D], decoder [D, L], offset [D], scale."""
        if self.trained is None:
            return
        tensors = {name: value.detach().cpu().contiguous() for name, value in self.trained.state_dict().items()}
        about: Mapping[str, str] = {"kind": "topk_autoencoder", "k": str(self.trained.k), "seed": str(self.seed)}
        with atomic_path(folder / f"{self.name}.safetensors") as temporary:
            save_file(tensors, temporary, metadata=dict(about))


def _around(x: Tensor, trained: TopKAutoencoder) -> Tensor:
    """Return the squares of x [R, T, D] around the mean of the training text, summed by row."""
    return (x - trained.mean).double().square().sum(dim=(1, 2))
