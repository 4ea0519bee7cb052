"""Free continuation (stories, lyrics, prose): how varied what is written is, and how likely the real continuation."""

from dataclasses import dataclass, field

from prospero.data.embedded.prose import beginnings
from prospero.evaluation.tasks.base import TaskFacts
from prospero.evaluation.tasks.generation import GenerationTask, GenerationTaskConfig
from prospero.evaluation.tasks.items import Embedded, gather
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

    likelihood: bool = True
    """Measure `bits_per_byte` of the first reference too: how likely the model finds it after the prompt."""

    def build(self, name: str, facts: TaskFacts) -> GenerationTask:
        """Return the task; its embedded records are {beginning, continuation, file}."""
        embedded = Embedded(make=beginnings, most=200)
        return GenerationTask(name, self, facts, gather(name, self.data, self.fields, self.limit, facts, embedded))
