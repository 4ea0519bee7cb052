"""The rules of the leaderboard, checked on the folders of three runs, and the line that they earn.

What a rule asks is in leaderboard/README.md. Everything is read from what the runs have written: config.yaml,
result.json, receipt.json, environment.json.
"""

import hashlib
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prospero.configuration.reading import read_config
from prospero.errors import ConfigError, DataError
from prospero.runs.folder import RunFolder
from prospero.runs.result import Status, read_result

SEEDS = (1, 2, 3)
QUANTILE = 0.95 * math.sqrt(2 / (1 - 0.95**2))
"""Student's t for three values: with two degrees of freedom P(|T| <= t) = t / sqrt(2 + t^2)."""
NUMBER = "test/bits_per_byte"
"""By which entries are ranked: of the best checkpoint by validation, on text that chose nothing."""

CORPORA = {
    "8f068879072c": "embedded, Python 3.11.7",
    "c599c7f1f2ba": "tiny_shakespeare",
}
"""Fingerprint of a corpus -> its name; of the embedded one a line for each version of Python."""

SLACK = 1.01
"""Beside the step in which the time is over, with which a run ends: what saving and measuring round."""
FREE = ("seed", "name", "run_dir", "outputs_dir", "tags", "resume", "traceback", "logger")
"""Settings in which the three runs may differ."""


@dataclass(frozen=True, slots=True)
class Budget:
    """A table of the leaderboard."""

    name: str
    minutes: float
    gpu: bool


BUDGETS = (
    Budget("60 s on two CPU cores", 1.0, False),
    Budget("10 minutes on two CPU cores", 10.0, False),
    Budget("5 minutes on one GPU", 5.0, True),
)


@dataclass(frozen=True, slots=True)
class LeaderboardRun:
    """What a run has left of itself."""

    folder: Path
    config: dict[str, Any]
    result: dict[str, Any]
    receipt: dict[str, Any]
    environment: dict[str, Any]

    @property
    def gpu(self) -> bool:
        """Whether it has trained on a GPU."""
        return bool(self.environment["gpus"]) and self.config["trainer"]["accelerator"] != "cpu"


@dataclass(frozen=True, slots=True)
class Entry:
    """Three runs that keep the rules."""

    name: str
    budget: Budget
    corpus: str
    values: tuple[float, ...]
    tokens: float
    processor: str
    commit: str

    def line(self) -> str:
        """Return the line of the table: mean, half the width of Student's interval, and what it was made with."""
        half = QUANTILE * statistics.stdev(self.values) / math.sqrt(len(self.values))
        cells = [f"{statistics.mean(self.values):.4f} ± {half:.4f}", self.name, f"{self.tokens / 1e6:.2f} M"]
        return f"| {' | '.join([*cells, self.corpus, self.processor, self.commit])} |"


HEAD = "| bits per byte, test (95 %) | entry | tokens a run | corpus | processor | commit |\n|---|---|---|---|---|---|"


def read_leaderboard_run(folder: Path) -> LeaderboardRun:
    """Read what the rules ask about; DataError when the run has not ended or a file of it is gone."""
    run = RunFolder(folder)
    result = read_result(folder)
    if not result:
        raise DataError(f"{folder} has no {run.result.name}, so the run has not ended; finish it with resume=auto")
    try:
        receipt, environment = (json.loads(file.read_text(encoding="utf-8")) for file in (run.receipt, run.environment))
    except (OSError, ValueError) as error:
        raise DataError(f"{folder} lacks its receipt or its environment: {str(error).splitlines()[0]}") from error
    return LeaderboardRun(folder, read_config(run.config), result, receipt, environment)


def fingerprint(receipt: dict[str, Any]) -> str:
    """Return 12 hexadecimal digits of a corpus and its split, whatever the tokenizer: documents, bytes, characters."""
    splits = {
        name: [split[count] for count in ("documents", "bytes", "characters")]
        for name, split in receipt["splits"].items()
    }
    facts = [receipt["documents"], receipt["bytes"], receipt["characters"], splits]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


def entries_of(runs: Sequence[LeaderboardRun]) -> list[list[LeaderboardRun]]:
    """Return the runs that differ in their seed alone beside each other, by seed."""
    groups: dict[str, list[LeaderboardRun]] = {}
    for run in runs:
        settings = {name: value for name, value in run.config.items() if name not in FREE}
        groups.setdefault(json.dumps(settings, sort_keys=True, default=str), []).append(run)
    return [sorted(group, key=lambda run: run.config["seed"]) for group in groups.values()]


def judged(runs: Sequence[LeaderboardRun], name: str) -> Entry:
    """Return the entry of runs that differ in their seed alone; ConfigError with the first rule that is not kept."""
    for run in runs:
        _check_run(run)
    seeds = tuple(run.config["seed"] for run in runs)
    if seeds != SEEDS:
        found = ", ".join(map(str, seeds))
        raise ConfigError(
            f"an entry is three runs with seeds 1, 2 and 3 that differ in nothing else; of {name} there are seeds "
            f"{found}; train them with: python train.py -m ... seed=1,2,3"
        )
    corpora = {fingerprint(run.receipt) for run in runs}
    if len(corpora) > 1:
        raise ConfigError(f"the three runs of {name} were not made of the same text: fingerprints {sorted(corpora)}")
    first = runs[0]
    processors = {_processor(run) for run in runs}
    if len(processors) > 1:
        raise ConfigError(f"the three runs of {name} ran on different machines: {'; '.join(sorted(processors))}")
    commit = str(first.environment["git"].get("commit", ""))[:8] or f"prospero {first.receipt['prospero']}"
    changed = any(run.environment["git"].get("changed") for run in runs)
    return Entry(
        name=name,
        budget=_budget(first),
        corpus=CORPORA[corpora.pop()],
        values=tuple(float(run.result[NUMBER]) for run in runs),
        tokens=statistics.mean(run.result["tokens"] for run in runs),
        processor=processors.pop(),
        commit=commit + (", changed" if changed else ""),
    )


def _check_run(run: LeaderboardRun) -> None:
    """Raise ConfigError for the first rule that a run does not keep."""
    config, result, trainer = run.config, run.result, run.config["trainer"]
    rules = [
        (result.get("status") == Status.done.value, f"has ended as {result.get('status')}; only whole runs count"),
        (config["init_from"] is None, f"began from the weights of {config['init_from']}; they must be its own"),
        (
            run.receipt["settings"]["tokenizer"]["class"] != "PretrainedTokenizerConfig",
            "has a tokenizer that was made of other text; choose byte, char or bpe",
        ),
        (
            trainer["test_sequences"] in ("all", None) and NUMBER in result,
            f"has not measured {NUMBER} on all of the held-out text; train with trainer.test_sequences=all",
        ),
        (
            all(split["unknown_tokens"] == 0 for split in run.receipt["splits"].values()),
            "has a tokenizer without a token for some characters, whose bytes would cost nothing; choose byte or bpe",
        ),
    ]
    for kept, said in rules:
        if not kept:
            raise ConfigError(f"{run.folder} {said}")
    found = fingerprint(run.receipt)
    if found not in CORPORA:
        raise ConfigError(
            f"{run.folder} was not trained on a corpus of the leaderboard: its fingerprint is {found} "
            f"({run.receipt['source']['description']}), and pinned are {', '.join(CORPORA.values())}; leave data, "
            "cleaning, dedup and split as they are, or pin your Python's corpus in src/prospero/runs/leaderboard.py"
        )
    _check_machine(run)


def _check_machine(run: LeaderboardRun) -> None:
    config, trainer, budget = run.config, run.config["trainer"], _budget(run)
    seconds = float(run.result["training_seconds"])
    last_step = seconds / max(1, int(run.result["steps"]))
    if seconds > budget.minutes * 60 * SLACK + last_step:
        raise ConfigError(f"{run.folder} has trained for {seconds:.1f} s, longer than {budget.name}")
    if trainer["num_nodes"] != 1:
        raise ConfigError(f"{run.folder} ran on {trainer['num_nodes']} machines; one is the rule")
    if run.gpu:
        used = trainer["devices"] or len(run.environment["gpus"])
        if used != 1:
            raise ConfigError(f"{run.folder} ran on {used} GPUs; train with trainer.devices=1")
        return
    threads = (trainer["num_threads"] or run.environment["cpu_cores"]) * (trainer["devices"] or 1)
    if threads + config["data"]["num_workers"] > 2:
        raise ConfigError(
            f"{run.folder} could use {threads} threads and {config['data']['num_workers']} workers; two cores are the "
            "rule: trainer.num_threads=2 trainer.devices=1 data.num_workers=0"
        )


def _budget(run: LeaderboardRun) -> Budget:
    """Return the budget that a run was given; ConfigError for one that is none of the leaderboard's."""
    for budget in BUDGETS:
        if run.config["max_minutes"] == budget.minutes and run.gpu == budget.gpu:
            return budget
    allowed = ", ".join(f"max_minutes={budget.minutes:g} ({budget.name})" for budget in BUDGETS)
    where = "a GPU" if run.gpu else "a CPU"
    raise ConfigError(
        f"{run.folder} was given max_minutes={run.config['max_minutes']} on {where}; budgets are {allowed}"
    )


def _processor(run: LeaderboardRun) -> str:
    gpus = run.environment["gpus"]
    return str(gpus[0]["name"]) if run.gpu else str(run.environment["cpu"])
