"""Filters by a small model of one's own: how predictable a text is, or how like good text."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from prospero import registry
from prospero.data.cleaning.step import Drop
from prospero.data.receipt import file_hash
from prospero.data.text_filter import load_filter
from prospero.errors import ConfigError


class TextModel(Protocol):
    """A language model that reads texts; what `registry.bridge("text_model")` gives for a folder."""

    @property
    def fingerprint(self) -> str:
        """Hash of its weights and its tokenizer; asking does not read the weights."""
        ...

    def bits_per_byte(self, text: str) -> float:
        """Return the bits that it needs for a byte of a text."""
        ...


@dataclass(kw_only=True, slots=True)
class ScoreConfig:
    """Drop documents by the perplexity of a run's model, or by a filter of `prospero train_filter`."""

    filter: str | None = None
    """A file of `prospero train_filter`; documents that it takes for bad are dropped."""
    min_probability: float | None = None
    """With filter: documents that are less likely good are dropped; null: 0.5."""
    run: str | None = None
    """In place of filter, the folder of a run, a model or a checkpoint; documents are dropped by its bits per byte."""
    max_bits_per_byte: float | None = None
    """With run: documents that need more are dropped; null: no limit."""
    min_bits_per_byte: float | None = None
    """With run: documents that need less are dropped (tables, repetitions); null: no limit."""
    max_characters: int = 2000
    """With run: the first characters of a document that the model reads."""

    def __post_init__(self) -> None:
        bounds = (self.max_bits_per_byte, self.min_bits_per_byte)
        if self.filter is not None and self.run is not None:
            raise ConfigError(f"filter={self.filter} and run={self.run} are two scores; give one of them")
        if self.filter is not None and bounds != (None, None):
            raise ConfigError("max_bits_per_byte and min_bits_per_byte go with run=, not with filter=")
        if self.run is not None and self.min_probability is not None:
            raise ConfigError("min_probability goes with filter=, not with run=")
        if self.run is not None and bounds == (None, None):
            raise ConfigError(f"run={self.run} drops nothing without max_bits_per_byte or min_bits_per_byte")
        if None not in bounds and bounds[0] <= bounds[1]:  # type: ignore[operator]
            raise ConfigError(f"max_bits_per_byte={bounds[0]} is not above min_bits_per_byte={bounds[1]}")
        if self.min_probability is not None and not 0 < self.min_probability < 1:
            raise ConfigError(f"min_probability={self.min_probability} must lie between 0 and 1")
        if self.max_characters < 1:
            raise ConfigError(f"max_characters={self.max_characters} must be 1 or more")

    def build(self) -> "FilterScore | PerplexityScore":
        """Return the step; ConfigError where neither filter nor run is given."""
        self._check_given()
        return PerplexityScore(self) if self.filter is None else FilterScore(self)

    def identity(self) -> dict[str, Any]:
        """Return the bounds and what the filter's file, or the model, is; where it lies does not count."""
        self._check_given()
        if self.filter is not None:
            load_filter(Path(self.filter))
            bound = {"min_probability": self.threshold}
            return {"class": type(self).__name__, "filter": file_hash(Path(self.filter)), **bound}
        return {
            "class": type(self).__name__,
            "model": self.model().fingerprint,
            "max_bits_per_byte": self.max_bits_per_byte,
            "min_bits_per_byte": self.min_bits_per_byte,
            "max_characters": self.max_characters,
        }

    @property
    def threshold(self) -> float:
        """The least probability that is kept."""
        return 0.5 if self.min_probability is None else self.min_probability

    def model(self) -> TextModel:
        """Return the model, its weights not yet read; ConfigError or DataError where there is none."""
        return registry.bridge("text_model")(self.run)

    def _check_given(self) -> None:
        if self.filter is None and self.run is None:
            raise ConfigError(
                "cleaning=[score] needs cleaning.score.filter=<file of prospero train_filter>, or "
                "cleaning.score.run=<folder of a run> with cleaning.score.max_bits_per_byte="
            )


class FilterScore:
    """Keeps what a filter takes for good; each process reads the file once."""

    def __init__(self, config: ScoreConfig) -> None:
        assert config.filter is not None, "build() has seen it"
        self.filter, self.threshold = load_filter(Path(config.filter)), config.threshold

    def __call__(self, text: str) -> str | Drop:
        """Return the text itself or the reason to drop it."""
        if self.filter.probability(text) >= self.threshold:
            return text
        return Drop("taken for bad by the filter")


class PerplexityScore:
    """Keeps what a model finds neither too surprising nor too plain; each process reads the weights once."""

    def __init__(self, config: ScoreConfig) -> None:
        self.config = config
        self._model: TextModel | None = None

    def __call__(self, text: str) -> str | Drop:
        """Return the text itself or the reason to drop it."""
        if not text:
            return text
        if self._model is None:
            self._model = self.config.model()
        config = self.config
        bits = self._model.bits_per_byte(text[: config.max_characters])
        if config.max_bits_per_byte is not None and bits > config.max_bits_per_byte:
            return Drop("too many bits per byte for the model")
        if config.min_bits_per_byte is not None and bits < config.min_bits_per_byte:
            return Drop("too few bits per byte for the model")
        return text

    def __reduce__(self) -> tuple[type["PerplexityScore"], tuple[ScoreConfig]]:
        """Leave the weights behind on the way to another process, which reads them itself."""
        return PerplexityScore, (self.config,)
