"""Free continuation (stories, lyrics, prose): how varied what is written is, and how likely the real continuation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from prospero.errors import ConfigError
from prospero.evaluation.measurement import Outcome, Quantity, Subject, ratio
from prospero.evaluation.tasks.base import TaskFacts
from prospero.evaluation.tasks.embedded.prose import beginnings
from prospero.evaluation.tasks.generation import GenerationTask, GenerationTaskConfig
from prospero.evaluation.tasks.items import Embedded, gather
from prospero.evaluation.tasks.likelihood import bits_and_bytes
from prospero.evaluation.tasks.prompt import Keep
from prospero.generation.sampling import SamplingConfig


@dataclass(kw_only=True, slots=True)
class ContentConfig(GenerationTaskConfig):
    """Go on with a text; without data: prose of Python's documentation.

    Besides the metrics of what is written, it measures `bits_per_byte` of the real continuations: the references.
    """

    template: str = "{beginning}"
    """The prompt: each {field} stands for that field of the record; {{ and }} for braces."""
    keep: Keep = Keep.end
    """Which part of it stays then."""
    references: str | None = "continuation"
    """The field of the real continuation; of several the first is measured."""
    decoding: SamplingConfig = field(default_factory=lambda: SamplingConfig(max_new_tokens=96))
    """How the model writes: the settings of the group `sampling`. The likeliest text of all repeats itself."""
    metrics: list[str] = field(default_factory=lambda: ["distinct", "repetition"])
    """Metrics of texts, by their names in the group `metrics`; those given with metrics=[...] are added."""

    def __post_init__(self) -> None:
        GenerationTaskConfig.__post_init__(self)
        if self.references is None:
            raise ConfigError("references=null leaves no real continuation to measure; name its field")

    def build(self, name: str, facts: TaskFacts) -> "ContentTask":
        """Return the task; its embedded records are {beginning, continuation, file}."""
        embedded = Embedded(make=beginnings, most=200)
        return ContentTask(name, self, facts, gather(name, self.data, self.fields, self.limit, facts, embedded))


class ContentTask(GenerationTask):
    """Writes, and reads what was really written."""

    @property
    def quantities(self) -> list[Quantity]:
        """The numbers of all metrics, and the bits per byte of the real continuations."""
        return [*super().quantities, Quantity(name="bits_per_byte", finish=ratio, higher_is_better=False)]

    def outcomes(self, subject: Subject, items: Sequence[int]) -> Iterator[Outcome]:
        """Write up to `subject.rows` texts side by side, and read the real continuation of each that is written."""
        for outcome in super().outcomes(subject, items):
            beginning, real = self.template.fill(self.values[outcome.item]), self.references[outcome.item][0]
            bits = bits_and_bytes(subject, beginning, real)
            yield replace(outcome, statistics={**outcome.statistics, "bits_per_byte": bits})
