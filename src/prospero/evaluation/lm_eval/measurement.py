"""Tasks of the harness as one measurement: its documents are the items.

The harness reads the tasks, writes the prompts (in its order, so that examples are drawn as it draws them) and scores
the answers; the loop is ours, so that documents are shared among processes and a job that was killed goes on.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lm_eval.api.filter import FilterEnsemble
from lm_eval.api.instance import Instance
from lm_eval.api.registry import AGGREGATION_REGISTRY
from lm_eval.api.task import Task
from lm_eval.filters import build_filter_ensemble

from prospero.errors import ConfigError, DataError
from prospero.evaluation.lm_eval.aggregation import AGGREGATIONS, Aggregation
from prospero.evaluation.lm_eval.model import HarnessModel
from prospero.evaluation.measurement import Measurement, Outcome, Quantity, Subject
from prospero.log import log
from prospero.plain import plain

UNFILTERED = "none"
"""The harness's name of the filter of a task that has none."""
TEXT = 400
"""Characters of a prompt's end that a record holds."""


@dataclass(frozen=True, slots=True)
class Number:
    """One number of a task."""

    name: str
    filter: str
    metric: str
    aggregation: Aggregation
    higher_is_better: bool


class HarnessTask:
    """One task, its prompts written."""

    def __init__(self, name: str, task: Task, limit: int | None, seed: int) -> None:
        self.name, self.task = name, task
        task.set_fewshot_seed(seed=seed)
        try:
            task.build_all_requests(limit=limit)
        except (ValueError, KeyError, TypeError, AssertionError) as error:
            raise DataError(f"lm_eval's task {name} cannot make its prompts: {_first_line(error)}") from error
        self.requests: dict[int, list[Instance]] = {}
        for request in task.instances:
            assert request.doc_id is not None
            self.requests.setdefault(request.doc_id, []).append(request)

    @cached_property
    def numbers(self) -> list[Number]:
        """What the task measures; ConfigError when none of it is a function of sums."""
        names = {function: name for name, function in AGGREGATION_REGISTRY.items()}
        found, left_out = [], []
        task: Any = self.task  # its methods are declared to return nothing
        better = task.higher_is_better()
        for metric, function in task.aggregation().items():
            aggregation = AGGREGATIONS.get(names.get(function, ""))
            if aggregation is None:
                left_out.append(metric)
                continue
            for chain in self.filters:
                end = "" if chain == UNFILTERED else f"_{chain}"
                found.append(Number(f"{self.name}/{metric}{end}", chain, metric, aggregation, bool(better[metric])))
        said = f"lm_eval's task {self.name} measures {', '.join(left_out)} by no sum over documents"
        if not found:
            raise ConfigError(f"{said}, and nothing else; choose another task, or one of ours with metrics=[...]")
        if left_out:
            log.warning("%s; left out", said)
        return found

    @cached_property
    def chains(self) -> list[FilterEnsemble]:
        """What answers go through before they are scored; each chain makes numbers of its own."""
        listed = self.task.config.filter_list
        if listed is None:
            return [build_filter_ensemble(UNFILTERED, [("take_first", None)])]
        return [
            build_filter_ensemble(
                chain["name"],
                [(part["function"], {key: part[key] for key in part if key != "function"}) for part in chain["filter"]],
            )
            for chain in listed
        ]

    @property
    def filters(self) -> list[str]:
        """The names of the chains."""
        return [chain.name for chain in self.chains]

    def scored(self, document: int, answers: Sequence[Sequence[Any]]) -> tuple[dict[str, list[float]], dict[str, Any]]:
        """Return (number -> its statistics, a record) of one document; `answers` are those to each of its requests."""
        requests = [copy(request) for request in self.requests[document]]
        for request, given in zip(requests, answers):
            request.resps, request.filtered_resps = list(given), {}
        for chain in self.chains:
            chain.apply(requests)
        doc = requests[0].doc
        task: Any = self.task
        values: dict[str, dict[str, Any]] = {
            chain: task.process_results(doc, [request.filtered_resps[chain] for request in requests])
            for chain in self.filters
        }
        statistics = {
            number.name: number.aggregation.statistics(values[number.filter][number.metric])
            if number.metric in values[number.filter]
            else [0.0] * number.aggregation.size
            for number in self.numbers
        }
        return statistics, self._record(requests, values)

    def _record(self, requests: list[Instance], values: dict[str, dict[str, Any]]) -> dict[str, Any]:
        first: tuple[Any, ...] = requests[0].args
        record: dict[str, Any] = {"task": self.name}
        if self.task.OUTPUT_TYPE != "loglikelihood_rolling":
            record["prompt"] = str(first[0])[-TEXT:]
        record["target"] = plain_text(self.task.doc_to_target(requests[0].doc))
        if self.task.OUTPUT_TYPE == "generate_until":
            record["prediction"] = str(requests[0].resps[0])
        elif self.task.OUTPUT_TYPE == "multiple_choice":
            record["choices"] = [
                {"text": list(request.args)[-1], "log_likelihood": request.resps[0][0]} for request in requests
            ]
        for chain, found in values.items():
            scores = {metric: float(value) for metric, value in found.items() if isinstance(value, int | float)}
            record["scores" if chain == UNFILTERED else f"scores_{chain}"] = scores
        return record


class HarnessMeasurement(Measurement):
    """Documents of several tasks of the harness, one after the other."""

    def __init__(self, name: str, tasks: Sequence[HarnessTask], settings: dict[str, Any], seed: int) -> None:
        self.name, self.tasks, self.settings, self.seed = name, list(tasks), settings, seed
        self.items = [(task, document) for task in self.tasks for document in task.requests]
        self.numbers = [number for task in self.tasks for number in task.numbers]

    @property
    def quantities(self) -> list[Quantity]:
        """`<task>/<metric>`, with `_<filter>` where a task filters its answers."""
        return [
            Quantity(name=number.name, finish=number.aggregation.finish, higher_is_better=number.higher_is_better)
            for number in self.numbers
        ]

    @property
    def size(self) -> int:
        """Documents of all tasks."""
        return len(self.items)

    def outcomes(self, subject: Subject, items: Sequence[int]) -> Iterator[Outcome]:
        """Ask in portions of some batches, so that a job that is killed has lost little."""
        model = HarnessModel(subject, self.seed)
        nothing = {number.name: [0.0] * number.aggregation.size for number in self.numbers}
        portion = 4 * subject.rows
        for start in range(0, len(items), portion):
            asked = [(item, *self.items[item]) for item in items[start : start + portion]]
            answers = _answers(model, [task.requests[document] for _, task, document in asked])
            for (item, task, document), given in zip(asked, answers):
                statistics, record = task.scored(document, given)
                yield Outcome(item, nothing | statistics, record)

    @property
    def facts(self) -> dict[str, Any]:
        """Settings, and of each task its version, examples and a fingerprint of its prompts."""
        return {"settings": self.settings, "tasks": {task.name: _facts(task) for task in self.tasks}}


def _answers(model: HarnessModel, documents: Sequence[Sequence[Instance]]) -> list[list[list[Any]]]:
    """Return the answers to each request of each document: as many as it is to be repeated."""
    asked = [request for requests in documents for request in requests for _ in range(request.repeats or 1)]
    found: dict[int, Any] = {}
    methods: dict[str, Callable[[list[Instance]], list[Any]]] = {
        "loglikelihood": lambda requests: model.loglikelihood(requests, disable_tqdm=True),
        "loglikelihood_rolling": model.loglikelihood_rolling,
        "generate_until": model.generate_until,
    }
    for kind, method in methods.items():
        places = [place for place, request in enumerate(asked) if request.request_type == kind]
        if places:
            found |= zip(places, method([asked[place] for place in places]))
    answers = iter(found[place] for place in range(len(asked)))
    return [[[next(answers) for _ in range(request.repeats or 1)] for request in requests] for requests in documents]


def _facts(task: HarnessTask) -> dict[str, Any]:
    config = task.task.config
    prompts = [plain_text(request.args) for requests in task.requests.values() for request in requests]
    return {
        "version": str(task.task.VERSION),
        "output_type": task.task.OUTPUT_TYPE,
        "num_fewshot": config.num_fewshot or 0,
        "documents": len(task.requests),
        "fingerprint": hashlib.sha256(json.dumps(prompts).encode()).hexdigest()[:16],
    }


def plain_text(value: Any) -> Any:
    """Return a value as files hold it; what is no plain value as its text."""
    try:
        return json.loads(json.dumps(value))
    except TypeError:
        return str(plain(value) if isinstance(value, list | dict) else value)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
