"""Linear probes: can a property of the text be read off an activation by a linear classifier?

At every place a multinomial logistic regression is fitted from the activation after a token to a property of that token
(Alain and Bengio 2016, arXiv:1610.01644), on some documents, and judged on others. A probe may learn by itself what the
model does not hold: so the same probe is fitted to a control task (Hewitt and Liang 2019, arXiv:1909.03368), where each
kind of token has a class drawn once by chance. Selectivity is the accuracy minus that of the control.

Shapes: n tokens, C classes, P places, D width of a place.
"""

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prospero.analysis.base import Analysis, model_of
from prospero.analysis.cells import cells_of, cells_with_intervals, largest_cell
from prospero.analysis.logistic import fit_logistic
from prospero.analysis.pictures import curves
from prospero.analysis.probed_documents import ProbedDocument, Windows, probed, texts_of, tokens_of_each
from prospero.analysis.reading import layer_points
from prospero.analysis.text_properties import NONE, PROPERTIES
from prospero.analysis.text_rows import TextRowsConfig
from prospero.analysis.unit_texts import check_has_units
from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.errors import ConfigError, DataError, suggest
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.measurement import Measured, Outcome, Quantity, Subject, Table, mean
from prospero.generation.decoder import evaluating
from prospero.model.base import LanguageModel
from prospero.model.hooks import matching, record

HELD = 2**27
"""Numbers of activations that are held at a time: 512 MB."""
TOKENS, TOKENS_IN_TRAINING = 20_000, 4_000
"""Tokens for the fit where nobody says how many, in a command and within a training."""


@dataclass(kw_only=True, slots=True)
class ProbesConfig(TextRowsConfig):
    """What a linear classifier can read off the activations: line ends, strings, kinds of tokens, nesting."""

    points: list[str] = field(default_factory=list)
    """Where activations are read, patterns with *; without any, the embedding and the stream after each block."""
    properties: list[str] = field(default_factory=list)
    """What is looked for; without any, all of next_is_line_end, in_string_or_comment, token_kind, bracket_depth."""
    tokens: int | None = None
    """Tokens that probes are fitted to at most, and judged on half as many; null: 20,000, within a training 4,000."""
    test_share: float = 0.33
    """Share of the documents that probes are judged on, and never fitted to."""
    l2: float = 0.001
    """Weight of the squared weights of the probe beside its mean cross-entropy, on standardised activations."""
    limit: int | None = None
    """Documents, evenly spread over the text; null: as many as the tokens need."""

    def __post_init__(self) -> None:
        TextRowsConfig.__post_init__(self)
        for name in self.properties:
            if name not in PROPERTIES:
                known = ", ".join(PROPERTIES)
                raise ConfigError(f"There is no property '{name}'.{suggest(name, PROPERTIES)} Known: {known}")
        for point in self.points:
            check_has_units(point, "points")
        if not 0 < self.test_share < 1:
            raise ConfigError(f"test_share={self.test_share} must be between 0 and 1")
        if self.tokens is not None and self.tokens < 100:
            raise ConfigError(f"tokens={self.tokens} are too few to fit a probe to; choose 100 or more")
        if self.l2 < 0:
            raise ConfigError(f"l2={self.l2} must not be negative")

    @property
    def looked_for(self) -> list[str]:
        """The properties, all of them where none is chosen."""
        return self.properties or list(PROPERTIES)

    def build(self, name: str, facts: AnalysisFacts) -> "Probes":
        """Return the analysis, its documents read and their properties known; DataError where there are too few."""
        return Probes(name, self, facts, _documents(self, name, facts))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Split:
    """Documents to fit to, and others to judge by."""

    train: Sequence[ProbedDocument]
    test: Sequence[ProbedDocument]
    seq_len: int
    """Tokens that the model reads at once."""
    facts: Mapping[str, Any]


def _documents(config: ProbesConfig, name: str, facts: AnalysisFacts) -> _Split:
    """Deal documents out until both sides have their tokens; the order decides, so that more tokens keep the rest."""
    fit = config.tokens or (TOKENS_IN_TRAINING if facts.training else TOKENS)
    rows = TextRowsConfig(path=config.path, split=config.split, seq_len=config.seq_len, limit=fit // 16)
    found, coin = rows.rows(name, facts), random.Random(f"probes {facts.seed}")
    text = found.text
    chosen, wanted = [PROPERTIES[one] for one in config.looked_for], {"train": fit, "test": fit // 2}
    sides: dict[str, list[ProbedDocument]] = {"train": [], "test": []}
    most = tokens_of_each(text.shards.n_documents, sum(wanted.values()))
    for number, document in enumerate(texts_of(text, most)):
        if number == (config.limit or facts.limit or -1) or not any(left > 0 for left in wanted.values()):
            break
        side = "test" if coin.random() < config.test_share else "train"
        if wanted[side] > 0 and document:
            one = probed(document, text.tokenizer, chosen, most)
            sides[side].append(one)
            wanted[side] -= len(one.ids)
    for prop in chosen:
        for side, documents in sides.items():
            if not any((one.classes[prop.name] != NONE).any() for one in documents):
                raise DataError(
                    f"analyses.{name}: {prop.name} is to be seen in none of the {len(documents)} documents to {side} "
                    "probes with; give more or other text, or leave it out of properties="
                )
    return _Split(train=sides["train"], test=sides["test"], seq_len=found.packing.seq_len, facts=text.facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What the probes of one property made of the test documents."""

    places: Sequence[str]
    right: np.ndarray
    """Tokens right, by place and document, [P, documents]."""
    control_right: np.ndarray
    """The same of the control task, [P, documents]."""
    majority_right: np.ndarray
    """Tokens of the class that is most frequent in training, [documents]."""
    tokens: np.ndarray
    """Tokens that have the property, [documents]."""


class Probes(Analysis):
    """An item is a document that probes are judged on; they are fitted once for a model."""

    def __init__(self, name: str, config: ProbesConfig, facts: AnalysisFacts, split: _Split) -> None:
        super().__init__(name)
        self.config, self.split, self.seed = config, split, facts.seed
        self._judged: dict[str, Judged] = {}
        self._judged_of: Subject | None = None

    @property
    def quantities(self) -> list[Quantity]:
        """Of each property the accuracy and the selectivity where they are largest, and what a blind guess reaches."""
        found = []
        for name in self.config.looked_for:
            found += [
                Quantity(name=f"{name}/accuracy", finish=largest_cell),
                Quantity(name=f"{name}/selectivity", finish=largest_cell),
                Quantity(name=f"{name}/majority", finish=mean),
            ]
        return found

    @property
    def size(self) -> int:
        """How many documents probes are judged on."""
        return len(self.split.test)

    @property
    def facts(self) -> dict[str, Any]:
        """Which text, and how much of it."""
        fit = sum(len(one.ids) for one in self.split.train)
        sizes = {"documents_to_fit": len(self.split.train), "tokens_to_fit": fit}
        return {**self.split.facts, **sizes, "documents_to_judge": self.size}

    @property
    def caveats(self) -> list[str]:
        """What such a number cannot say."""
        return [
            "That a probe finds a property does not say that the model uses it (Belinkov 2022, arXiv:2102.12452); take "
            "the direction out and look at the loss.",
            "The published accuracy and selectivity are those of the best place, and the largest of several noisy "
            "numbers lies above the true one; the table has all places with their intervals.",
        ]

    def outcomes(self, subject: Subject, items: Sequence[int]) -> Iterator[Outcome]:
        """Judge the probes, fitted when a model is seen for the first time."""
        if self._judged_of is not subject:
            model = model_of(subject)
            with evaluating(model):
                self._judged = self._fit(model, subject.tokenizer, subject.rows)
            self._judged_of = subject
        for item in items:
            statistics = {}
            for name, judged in self._judged.items():
                right, control, count = judged.right[:, item], judged.control_right[:, item], judged.tokens[item]
                statistics[f"{name}/accuracy"] = [*right.tolist(), float(count)]
                statistics[f"{name}/selectivity"] = [*(right - control).tolist(), float(count)]
                statistics[f"{name}/majority"] = [float(judged.majority_right[item]), float(count)]
            places = next(iter(self._judged.values())).places
            yield Outcome(item, statistics, {"text": self.split.test[item].text[:400], "places": list(places)})

    def _fit(self, model: LanguageModel, tokenizer: Tokenizer, rows: int) -> dict[str, Judged]:
        train, test = self.split.train, self.split.test
        names = places(model, self.config.points)
        sides = [Windows(documents, tokenizer, self.split.seq_len) for documents in (train, test)]
        lengths = [len(one.ids) for one in test]
        found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {name: [] for name in self.config.looked_for}
        for group in _groups(model, names, sum(len(one.ids) for one in (*train, *test))):
            train_x, test_x = (windows.activations(model, group, rows) for windows in sides)
            for place in group:
                for name in self.config.looked_for:
                    task = self.task(name)
                    hits = [
                        _right((train_x[place], test_x[place]), labels, task.classes, self.config.l2, lengths)
                        for labels in (task.labels, task.control)
                    ]
                    found[name].append((hits[0], hits[1]))
        return {name: self._summed(name, names, hits) for name, hits in found.items()}

    def task(self, name: str) -> "ProbeTask":
        """Return the labels of a property, and those of its control task."""
        classes = len(PROPERTIES[name].classes)
        labels = [_joined(documents, name) for documents in (self.split.train, self.split.test)]
        ids = [np.concatenate([one.ids for one in side]) for side in (self.split.train, self.split.test)]
        control = control_labels(ids, labels, classes, seed=self.seed)
        return ProbeTask(classes=classes, labels=(labels[0], labels[1]), control=control)

    def _summed(self, name: str, names: Sequence[str], hits: Sequence[tuple[np.ndarray, np.ndarray]]) -> Judged:
        task, lengths = self.task(name), [len(one.ids) for one in self.split.test]
        train, test = task.labels
        common = np.bincount(train[train != NONE]).argmax()
        return Judged(
            places=names,
            right=np.stack([right for right, _ in hits]),
            control_right=np.stack([control for _, control in hits]),
            majority_right=_by_document(test == common, lengths),
            tokens=_by_document(test != NONE, lengths),
        )

    def tables(self, measured: Measured) -> list[Table]:
        """Return accuracy and selectivity by place, a table for each property."""
        names, found = measured.outcomes[0].record["places"], []
        for name in self.config.looked_for:
            accuracy = cells_with_intervals(measured, f"{name}/accuracy", range(len(names)))
            selectivity = cells_of(measured, f"{name}/selectivity")
            rows = [
                [place, one.value, one.low, one.high, one.value - float(chosen), float(chosen)]
                for place, one, chosen in zip(names, accuracy, selectivity)
            ]
            title = f"{name} (a blind guess: {measured.value(f'{name}/majority'):.3f})"
            columns = ("place", "accuracy", "low", "high", "control", "selectivity")
            found.append(Table(title=title, columns=columns, rows=rows))
        return found

    def draw(self, measured: Measured, figure: Any) -> bool:
        """Draw accuracy and selectivity over the places."""
        names = measured.outcomes[0].record["places"]
        short = [name.removeprefix("block.").removesuffix(".residual").removesuffix(".output") for name in names]
        left, right = figure.subplots(1, 2)
        for axes, kind in ((left, "accuracy"), (right, "selectivity")):
            series = {name: list(cells_of(measured, f"{name}/{kind}")) for name in self.config.looked_for}
            curves(axes, short, series, kind.capitalize(), "share of tokens" if kind == "accuracy" else "above control")
        left.set_ylim(None, 1.01)
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeTask:
    """Classes of the tokens to fit to and to judge by; NONE where there is none."""

    classes: int
    labels: tuple[np.ndarray, np.ndarray]
    control: tuple[np.ndarray, np.ndarray]


def control_labels(
    ids: Sequence[np.ndarray], labels: Sequence[np.ndarray], classes: int, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return labels in which each token id has one class, drawn once as often as the property has it in training.

    Both sides share the draw, and lack a class where the property does.
    """
    known = labels[0][labels[0] != NONE]
    shares = np.bincount(known, minlength=classes) / max(1, len(known))
    generator = np.random.default_rng([seed, classes])
    of_id = generator.choice(classes, size=1 + max(int(part.max(initial=0)) for part in ids), p=shares)
    first, second = (np.where(label == NONE, NONE, of_id[part]) for part, label in zip(ids, labels))
    return first, second


def places(model: LanguageModel, patterns: Sequence[str]) -> list[str]:
    """Return the points that patterns mean; without any, the embedding and the stream after each block."""
    return matching(model, patterns) if patterns else ["embedding", *layer_points(model)]


def _groups(model: LanguageModel, names: Sequence[str], tokens: int) -> Iterator[list[str]]:
    """Yield the names in groups whose activations of so many tokens can be held."""
    with torch.no_grad(), record(model, names) as found:
        model(torch.zeros(1, 2, dtype=torch.long, device=model.device), logits=False)
    group, held = [], 0
    for name in names:
        size = found[name].flatten(2).shape[-1] * tokens
        if group and held + size > HELD:
            yield group
            group, held = [], 0
        group.append(name)
        held += size
    yield group


def _joined(documents: Sequence[ProbedDocument], name: str) -> np.ndarray:
    return np.concatenate([one.classes[name] for one in documents])


def _by_document(values: np.ndarray, lengths: Sequence[int]) -> np.ndarray:
    """Return the sums of values [n] over documents of these lengths, float64."""
    ends = np.cumsum([0, *lengths])
    return np.array([values[a:b].sum() for a, b in itertools.pairwise(ends)], dtype=np.float64)


def _right(
    x: tuple[Tensor, Tensor], labels: tuple[np.ndarray, np.ndarray], classes: int, l2: float, lengths: Sequence[int]
) -> np.ndarray:
    """Return how many tokens of each test document a probe has right; x and labels are (to fit to, to judge by)."""
    (x_train, x_test), (train, test) = x, labels
    y, known = torch.from_numpy(train).to(x_train.device), torch.from_numpy(train != NONE).to(x_train.device)
    probe = fit_logistic(x_train[known], y[known], classes, l2=l2)
    predicted = probe.predict(x_test).cpu().numpy()
    return _by_document((predicted == test) & (test != NONE), lengths)
