"""Bodies of functions that the model has not seen: whether what it writes parses, and how likely the real body is.

Nothing is run. Whether programs do what they should is measured by the task `code`, which a small model does not pass.
"""

from dataclasses import dataclass, field
from typing import Any

from prospero.data.embedded.functions import bodies
from prospero.evaluation.metrics.text_base import TextSample
from prospero.evaluation.tasks.base import TaskFacts
from prospero.evaluation.tasks.code import body_of
from prospero.evaluation.tasks.generation import GenerationTask, GenerationTaskConfig
from prospero.evaluation.tasks.items import Embedded, gather
from prospero.evaluation.tasks.prompt import Keep
from prospero.generation.sampling import SamplingConfig


@dataclass(kw_only=True, slots=True)
class FunctionBodiesTaskConfig(GenerationTaskConfig):
    """Write the body below a signature and its docstring; without data: functions of Python's standard library."""

    template: str = "{head}"
    """The prompt: each {field} stands for that field of the record; {{ and }} for braces."""
    keep: Keep = Keep.end
    """Which part of it stays then."""
    references: str | None = "body"
    """The field of right answers, a text or a list of texts; null: there are none."""
    decoding: SamplingConfig = field(
        default_factory=lambda: SamplingConfig(temperature=0.0, max_new_tokens=96, stop=["\nclass", "\ndef"])
    )
    """How the model writes: the settings of the group `sampling`."""
    metrics: list[str] = field(default_factory=lambda: ["parses"])
    """Metrics of texts, by their names in the group `metrics`; those given with metrics=[...] are added."""
    likelihood: bool = True
    """Measure `bits_per_byte` of the first reference too: how likely the model finds it after the prompt."""
    strip: bool = False
    """Take white space off both ends of answers and references."""

    def build(self, name: str, facts: TaskFacts) -> "FunctionBodiesTask":
        """Return the task; its embedded records are {head, body, name, file}."""
        embedded = Embedded(make=bodies, most=200)
        gathered = gather(name, self.data, self.fields, self.limit, facts, embedded)
        return FunctionBodiesTask(name, self, facts, gathered)


class FunctionBodiesTask(GenerationTask):
    """What is measured is the whole function: what was written down to its first line that is not indented."""

    def _sample(self, number: int, texts: list[str], record: dict[str, Any]) -> tuple[TextSample, dict[str, Any]]:
        sample, record = super()._sample(number, texts, record)
        head = self.template.fill(self.values[number])
        kept = [body_of(text, begun=not head.endswith("\n")) for text in sample.predictions]
        functions = TextSample(
            # a bare docstring would parse: whoever wrote no body has written nothing
            predictions=[head + text if text.strip() else "" for text in kept],
            references=[head + text for text in sample.references],
            source=sample.source,
        )
        return functions, record | {"prediction": kept[0]}
