"""Summaries: of a text, or of a function what its docstring begins with."""

from dataclasses import dataclass, field

from prospero.data.embedded.functions import summaries
from prospero.evaluation.tasks.base import TaskFacts
from prospero.evaluation.tasks.generation import GenerationTask, GenerationTaskConfig
from prospero.evaluation.tasks.items import Embedded, gather
from prospero.generation.sampling import SamplingConfig


@dataclass(kw_only=True, slots=True)
class SummarizeConfig(GenerationTaskConfig):
    """Say in a line what a text says; without data: the docstring of a function of Python's standard library."""

    template: str = '{source}\n\n{name}.__doc__ = """'
    """The prompt: each {field} stands for that field of the record; {{ and }} for braces."""
    references: str | None = "summary"
    """The field of right answers, a text or a list of texts; null: there are none."""
    decoding: SamplingConfig = field(
        default_factory=lambda: SamplingConfig(temperature=0.0, max_new_tokens=40, stop=["\n", '"""'])
    )
    """How the model writes: the settings of the group `sampling`."""
    likelihood: bool = True
    """Measure `bits_per_byte` of the first reference too: how likely the model finds it after the prompt."""

    def build(self, name: str, facts: TaskFacts) -> GenerationTask:
        """Return the task; its embedded records are {source, name, summary, file}."""
        embedded = Embedded(make=summaries, most=200)
        return GenerationTask(name, self, facts, gather(name, self.data, self.fields, self.limit, facts, embedded))
