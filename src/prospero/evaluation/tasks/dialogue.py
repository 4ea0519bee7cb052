"""Dialogue: the next turn of a conversation, or what Python's prompt answers."""

from dataclasses import dataclass, field

from prospero.data.embedded.sessions import sessions
from prospero.evaluation.tasks.base import TaskFacts
from prospero.evaluation.tasks.generation import GenerationTask, GenerationTaskConfig
from prospero.evaluation.tasks.items import Embedded, gather
from prospero.evaluation.tasks.prompt import Keep
from prospero.generation.sampling import SamplingConfig


@dataclass(kw_only=True, slots=True)
class DialogueConfig(GenerationTaskConfig):
    """Answer what was said; without data: sessions at Python's prompt, from docstrings of the standard library."""

    template: str = "{session}"
    """The prompt: each {field} stands for that field of the record; {{ and }} for braces."""
    keep: Keep = Keep.end
    """Which part of it stays then."""
    references: str | None = "answer"
    """The field of right answers, a text or a list of texts; null: there are none."""
    decoding: SamplingConfig = field(
        default_factory=lambda: SamplingConfig(temperature=0.0, max_new_tokens=48, stop=[">>>", "\n\n"])
    )
    """How the model writes: the settings of the group `sampling`."""
    metrics: list[str] = field(default_factory=lambda: ["exact_match", "token_f1", "edit_similarity"])
    """Metrics of texts, by their names in the group `metrics`; those given with metrics=[...] are added."""
    likelihood: bool = True
    """Measure `bits_per_byte` of the first reference too: how likely the model finds it after the prompt."""

    def build(self, name: str, facts: TaskFacts) -> GenerationTask:
        """Return the task; its embedded records are {session, answer, file}."""
        embedded = Embedded(make=sessions, most=200)
        return GenerationTask(name, self, facts, gather(name, self.data, self.fields, self.limit, facts, embedded))
