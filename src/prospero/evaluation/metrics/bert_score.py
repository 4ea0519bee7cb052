"""BERTScore: whether each word of a text means what some word of a reference means, as the states of a model see it."""

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from prospero import registry
from prospero.errors import ConfigError
from prospero.evaluation.metrics.base import MetricFacts
from prospero.evaluation.metrics.text_base import TextMetric, TextSample
from prospero.log import log
from prospero.runs import find as find_run


class TextEncoder(Protocol):
    """A model that reads. Those of Hugging Face and our own stand in interop/, which this room may not import."""

    name: str
    """What reports call it, with its layer."""

    def encode(self, text: str) -> tuple[Tensor, Tensor]:
        """Return the states [t, D] of the tokens of `text`, float32 on the CPU, and which of them [t] are the text's.

        A text longer than the model reads at once is cut.
        """
        ...


@dataclass(kw_only=True, slots=True)
class BertScoreConfig:
    """The mean of BERTScore's precision, recall and F1, without idf and rescaling (Zhang et al. 2020)."""

    encoder: str = "last"
    """Whose states are compared: a run (last, a name, a folder), a model folder, a Hugging Face folder or a name on the
    hub. last, the newest trained run, needs no download, and makes numbers that no other scorer's compare with."""
    layer: int | None = None
    """The layer of a Hugging Face encoder, 0 being the embedding; None: what bert-score uses for models it knows by
    name, the last of others. A model of Prospero's own gives its last."""

    def __post_init__(self) -> None:
        if not self.encoder.strip():
            raise ConfigError("encoder= is empty; give a run, a folder or a name on the hub")
        if self.layer is not None and self.layer < 0:
            raise ConfigError(f"layer={self.layer} is no layer; 0 is the embedding, 1 the first layer")

    def build(self, facts: MetricFacts) -> "BertScore":
        """Return the metric; ConfigError when there is no such run. The encoder is read with the first text."""
        place = located(self.encoder, facts.outputs_dir)
        return BertScore(functools.partial(_load, place, self.layer))


def _load(place: Path | str, layer: int | None) -> TextEncoder:
    return registry.bridge("text_encoder")(place, layer)


def located(encoder: str, outputs_dir: str) -> Path | str:
    """Return the folder of an encoder, or the name under which the hub has it: `owner/name`, where no folder is so."""
    if os.path.isdir(encoder) or encoder.count("/") != 1 or encoder.startswith((".", "/", "~")):
        return find_run.find(encoder, outputs_dir)
    return encoder


class BertScore(TextMetric):
    """Statistics of a sample: precision, recall and F1, each for the reference that is best for it; and 1.

    Texts are encoded one by one: padding beside a longer text would move the last digits of a shorter one.
    """

    name = "bert_score"
    parts = ("precision", "recall", "f1")
    n_statistics = 4
    needs_references = True

    def __init__(self, load: Callable[[], TextEncoder]) -> None:
        super().__init__()
        self.load = load
        self.encoder: TextEncoder | None = None

    def statistics(self, samples: Sequence[TextSample]) -> np.ndarray:
        """Return the scores of each sample; nothing where a sample has no reference."""
        return np.array([self._best(sample) for sample in samples], dtype=np.float64).reshape(-1, self.n_statistics)

    def _best(self, sample: TextSample) -> list[float]:
        if not sample.references:
            return [0] * self.n_statistics
        if self.encoder is None:
            self.encoder = self.load()
            log.info("bert_score: by %s; compare it with numbers of the same scorer alone", self.encoder.name)
        prediction = self.encoder.encode(sample.prediction)
        found = [matched(prediction, self.encoder.encode(reference)) for reference in sample.references]
        return [*(max(of_part) for of_part in zip(*found)), 1]

    def finish(self, sums: np.ndarray) -> np.ndarray:
        """Return the mean of each part."""
        counts = sums[..., -1:]
        return np.divide(sums[..., :-1], counts, out=np.full(sums[..., :-1].shape, np.nan), where=counts != 0)


def matched(prediction: tuple[Tensor, Tensor], reference: tuple[Tensor, Tensor]) -> tuple[float, float, float]:
    """Return (precision, recall, F1): the mean over the tokens of a side of the cosine with the nearest of the other.

    Tokens that the encoder adds (weight 0) can be the nearest, and are in no mean; a side without others scores 0.
    """
    (states, weights), (other_states, other_weights) = prediction, reference
    if not weights.any() or not other_weights.any():
        return 0.0, 0.0, 0.0
    cosines = torch.nn.functional.normalize(states, dim=-1) @ torch.nn.functional.normalize(other_states, dim=-1).T
    precision = float(cosines.max(dim=1).values[weights].double().mean())
    recall = float(cosines.max(dim=0).values[other_weights].double().mean())
    return precision, recall, 2 * precision * recall / (precision + recall) if precision + recall else 0.0
