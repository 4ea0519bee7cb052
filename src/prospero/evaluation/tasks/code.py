"""Writing programs: a signature and its docstring become a function, tests run in the cage, pass@k counts what passes.

After HumanEval (Chen et al. 2021, arXiv:2107.03374) and MBPP (Austin et al. 2021, arXiv:2108.07732). By default the
functions are Python's own, and their doctests the tests.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from prospero.data.embedded.doctested import doctested
from prospero.data.records import Record, RecordsConfig, fingerprint
from prospero.data.template import Template
from prospero.errors import ConfigError, DataError
from prospero.evaluation.cage.limits import CageConfig
from prospero.evaluation.cage.runner import gaps, run_program, run_programs
from prospero.evaluation.measurement import Measurement, Outcome, Quantity, Subject
from prospero.evaluation.metrics.pass_at_k import PassAtK
from prospero.evaluation.metrics.text_base import TextSample
from prospero.evaluation.tasks.answers import answers
from prospero.evaluation.tasks.base import TaskFacts, text_metrics
from prospero.evaluation.tasks.generation import statistics_of
from prospero.evaluation.tasks.items import Gathered, check_limit, chosen, gather
from prospero.evaluation.tasks.prompt import Keep, Prompt, Room, fitted
from prospero.generation.sampling import SamplingConfig
from prospero.log import log
from prospero.plain import plain

COMPLETION = "completion"
"""The field of `program` that stands for what the model wrote."""


@dataclass(kw_only=True, slots=True)
class CodeConfig:
    """Functions to be written, and programs that test them."""

    allow_execution: bool = False
    """Whether programs that the model wrote may run on this machine; see docs/CODE_EXECUTION.md."""
    data: RecordsConfig = field(default_factory=RecordsConfig)
    """Where the records are; null in all of it: functions of Python's own library, with their doctests."""
    template: str = "{prompt}"
    """The prompt: each {field} stands for that field of the record; {{ and }} for braces."""
    program: str = "{setup}\n{prompt}{completion}\n{test}\n"
    """The program that is run, of fields of the record and {completion}, what the model wrote; lists are joined by line
    ends. It passes when it comes to its end without an exception."""
    reference: str | None = "body"
    """The field of a right completion, for reports and for metrics that compare; null: there is none."""
    body_only: bool = True
    """Whether the completion is the body of a function: it is cut at its first line that is not indented."""
    decoding: SamplingConfig = field(
        default_factory=lambda: SamplingConfig(temperature=0.8, n=5, max_new_tokens=256, stop=["\nclass", "\ndef"])
    )
    """How the model writes; `n` programs for each record."""
    metrics: list[str] = field(default_factory=lambda: ["pass_at_k", "parses"])
    """Metrics of texts, by their names in the group `metrics`; those given with metrics=[...] are added."""
    cage: CageConfig = field(default_factory=CageConfig)
    """What each program may use."""
    workers: int | None = None
    """Programs that run at a time; null: as many as there are cores."""
    limit: int | None = None
    """Records that are used, drawn by the seed; null: as the command says, or all."""

    def __post_init__(self) -> None:
        check_limit(self.limit)
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"workers={self.workers} runs nothing; choose 1 or more, or null")
        if COMPLETION not in Template(self.program, "program").fields:
            raise ConfigError(f"program={self.program!r} lacks {{{COMPLETION}}}, so that nothing written would be run")
        if not Template(self.template, "template").fields:
            raise ConfigError(f"template={self.template!r} has no {{field}}, so that all prompts would be the same")

    @property
    def fields(self) -> list[str]:
        """The fields that a record must have."""
        program = [name for name in Template(self.program, "program").fields if name != COMPLETION]
        named = [*Template(self.template, "template").fields, *program]
        return list(dict.fromkeys([*named, *([] if self.reference is None else [self.reference])]))

    def build(self, name: str, facts: TaskFacts) -> "CodeTask":
        """Return the task; ConfigError where execution is not allowed, or no program can be run here."""
        if not self.allow_execution:
            raise ConfigError(
                f"The task '{name}' runs programs that the model writes, on this machine, in a cage that stops much "
                f"but not all (docs/CODE_EXECUTION.md); if that is what you want, say tasks.{name}.allow_execution=true"
            )
        gathered = gather(name, self.data, self.fields, self.limit, facts) if self.data.given else self._own(facts)
        return CodeTask(name, self, facts, gathered)

    def _own(self, facts: TaskFacts) -> Gathered:
        records = [Record(f"the function {row['name']}", row) for row in doctested()]
        for record in records:
            record.check(self.fields)
        origin = {
            "records": f"{len(records)} functions of the standard library, with their doctests",
            "contamination": "may have been trained on: the default data hold the standard library",
        }
        return Gathered(records=chosen(records, self.limit, facts), facts=origin)


class CodeTask(Measurement):
    """Writes n programs for each item, runs them in the cage and counts those that pass."""

    reads_retrieval = True

    def __init__(self, name: str, config: CodeConfig, facts: TaskFacts, gathered: Gathered) -> None:
        self.name, self.config, self.origin, self.retrieval = name, config, gathered.facts, facts.retrieval
        self.template = Template(config.template, f"{name}.template")
        self.program = Template(config.program, f"{name}.program")
        self.metrics = text_metrics(config.metrics, facts)
        for metric in self.metrics:
            if isinstance(metric, PassAtK):
                metric.check(config.decoding.n)
            if metric.needs_references and config.reference is None:
                raise ConfigError(f"{name}: {metric.name} compares with references; name their field: reference=...")
        self.values = [
            {field: "\n".join(record.texts(field)) for field in config.fields} for record in gathered.records
        ]
        """What prompt and program are filled with, for each item."""
        self.protections = self._try_the_cage()

    def _try_the_cage(self) -> tuple[str, ...]:
        """Run an empty program; return what holds here, and say what does not."""
        result = run_program("", self.config.cage)
        if not result.passed:
            raise DataError(f"{self.name}: an empty program {result.detail}; raise the bounds: tasks.{self.name}.cage")
        if missing := gaps(result.protections):
            log.warning(
                "%s: on this machine nothing keeps the programs that the model writes from %s (docs/CODE_EXECUTION.md)",
                self.name,
                ", ".join(missing),
            )
        return result.protections

    @property
    def quantities(self) -> list[Quantity]:
        """The numbers of all metrics."""
        return [quantity for metric in self.metrics for quantity in metric.quantities]

    @property
    def size(self) -> int:
        """How many records there are."""
        return len(self.values)

    @property
    def facts(self) -> dict[str, Any]:
        """The settings, what the items are, and what held while programs ran."""
        items = [sorted(values.items()) for values in self.values]
        held: dict[str, Any] = {"protections": list(self.protections)}
        held |= {} if self.retrieval is None else {"retrieval": self.retrieval.facts()}
        return {"settings": plain(self.config), "fingerprint": fingerprint(items), **self.origin, **held}

    def outcomes(self, subject: Subject, items: Sequence[int]) -> Iterator[Outcome]:
        """Write up to `subject.rows` programs side by side; an item's are run as soon as all are there."""

        def prompt_of(number: int, room: Room) -> Prompt:
            return fitted(self.template, self.values[number], self.template.fields[0], Keep.end, room)

        for number, texts, record in answers(subject, items, prompt_of, self.retrieval, self.config.decoding):
            yield self.judged(number, texts, record)

    def judged(self, number: int, texts: Sequence[str], record: dict[str, Any]) -> Outcome:
        """Run what was written for an item; the outcome holds each program, its verdict and the end of its output."""
        values, config = self.values[number], self.config
        prompt = self.template.fill(values)
        kept = [body_of(text, begun=not prompt.endswith("\n")) if config.body_only else text for text in texts]
        programs = [self.program.fill({**values, COMPLETION: text}) for text in kept]
        different = list(dict.fromkeys(programs))
        results = dict(zip(different, run_programs(different, config.cage, config.workers)))
        before = prompt if config.body_only else ""
        references = [] if config.reference is None else [values[config.reference]]
        sample = TextSample(
            # a bare docstring would parse: whoever wrote no body has written nothing
            predictions=[before + text if text.strip() else "" for text in kept],
            references=[before + text for text in references],
            source=prompt,
            passed=[results[program].passed for program in programs],
        )
        record |= {"prediction": kept[0], "references": references}
        record["runs"] = [
            {
                "program": program,
                "verdict": results[program].verdict.value,
                "why": results[program].detail,
                "output": results[program].output,
            }
            for program in programs
        ]
        return Outcome(number, statistics_of(self.metrics, sample), record)


def body_of(text: str, *, begun: bool) -> str:
    """Return `text` up to its first line that is not indented; the first of all stays where it ends a line `begun`."""
    lines = re.split("(?<=\n)", text)
    for place, line in enumerate(lines):
        if line.strip() and not line[0].isspace() and not (begun and place == 0):
            return "".join(lines[:place])
    return text
