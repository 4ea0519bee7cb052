"""Decontamination: text that stands in an evaluation set is no training text.

By runs of 13 words without case and signs, as GPT-3's authors did (Brown et al. 2020, arXiv:2005.14165, appendix C):
what `evaluate` and analyses=[contamination] would find afterwards is left out before.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from prospero import registry
from prospero.data.cleaning.step import Changed, Drop
from prospero.data.evaluation_sets import EvaluationIndex, EvaluationSet, sets_of_files
from prospero.errors import ConfigError


class OnLeak(Enum):
    """What becomes of a document that holds text of an evaluation set."""

    drop = "drop"
    mask = "mask"


@dataclass(kw_only=True, slots=True)
class DecontaminateConfig:
    """Drop documents that hold text of evaluation sets, or mask that text; the receipt names the sets."""

    tasks: list[str] | None = None
    """Presets of conf/tasks whose data sets are compared with, or all; null: all where no `paths` are given."""
    paths: list[str] = field(default_factory=list)
    """Evaluation sets of your own: files, folders or globs, rows with fields or texts; each is called as its file."""
    fields: list[str] = field(default_factory=list)
    """With paths: the fields of rows that are compared; none: every field that holds text."""
    n: int = 13
    """Words of a run that a text must have in common with a set; items of fewer words are not found."""
    on_leak: OnLeak = OnLeak.drop
    """drop leaves the document out, mask puts `mask` in the place of the words."""
    mask: str = "[...]"
    """What stands in the place of masked words."""

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ConfigError(f"n={self.n} must be 1 or more words")
        if self.tasks == [] and not self.paths:
            raise ConfigError("tasks=[] and no paths compare with nothing; give cleaning.decontaminate.paths=[<file>]")
        if self.fields and not self.paths:
            raise ConfigError(f"fields={self.fields} are those of rows in paths=, which names no file")

    def build(self) -> "Decontaminate":
        """Return the step; the sets are read when the first text comes."""
        return Decontaminate(self)

    def sets(self) -> list[EvaluationSet]:
        """Return the sets, not yet read; ConfigError for a task that has none."""
        own = sets_of_files(self.paths, self.fields)
        names = ["all"] if self.tasks is None and not self.paths else self.tasks or []
        of_tasks = registry.bridge("evaluation_sets")(names) if names else {}
        return [*own, *(EvaluationSet(name=name, records=records) for name, records in of_tasks.items())]

    def identity(self) -> dict[str, Any]:
        """Return the settings with what the sets hold in place of where they lie."""
        chosen = {"class": type(self).__name__, "n": self.n, "on_leak": self.on_leak.name}
        chosen |= {"mask": self.mask} if self.on_leak is OnLeak.mask else {}
        return chosen | {"sets": [one.identity() for one in self.sets()]}


class Decontaminate:
    """Drops or masks what stands in an evaluation set; each process reads the sets once."""

    def __init__(self, config: DecontaminateConfig) -> None:
        self.config = config
        self._index: EvaluationIndex | None = None

    def __call__(self, text: str) -> str | Changed | Drop:
        """Return the text itself, or what is left of it, or why it is dropped."""
        if self._index is None:
            self._index = EvaluationIndex(self.config.sets(), self.config.n)
        leak = self._index.leak(text)
        if leak is None:
            return text
        what = tuple(f"text of the evaluation set {name}" for name in leak.names)
        if self.config.on_leak is OnLeak.drop:
            return Drop("; ".join(what))
        parts, start = [], 0
        for begin, end in self._index.places(text, leak):
            parts += [text[start:begin], self.config.mask]
            start = end
        return Changed("".join([*parts, text[start:]]), what)
