"""The leaderboard's rules, on run folders written by hand: each is refused when it alone is not kept."""

import copy
import json
import math
from pathlib import Path

import pytest
import yaml

from prospero.errors import ConfigError, DataError
from prospero.runs import leaderboard
from prospero.runs.leaderboard import QUANTILE, entries_of, fingerprint, judged, read_leaderboard_run

SPLIT = {"documents": 2, "bytes": 100, "characters": 90, "tokens": 40, "unknown_tokens": 0}
RUN = {
    "config": {
        "defaults": ["base"],
        "data": {"num_workers": 0},
        "tokenizer": {},
        "trainer": {
            "accelerator": "auto",
            "devices": None,
            "num_nodes": 1,
            "num_threads": 2,
            "test_sequences": "all",
        },
        "init_from": None,
        "max_minutes": 1.0,
        "seed": 1,
        "name": "a",
        "run_dir": "x",
    },
    "result": {
        "status": "DONE",
        "test/bits_per_byte": 2.0,
        "training_seconds": 60.2,
        "steps": 300,
        "tokens": 1_500_000,
    },
    "receipt": {
        "prospero": "0.1.0",
        "source": {"description": "a text"},
        "settings": {"tokenizer": {"class": "ByteTokenizerConfig"}},
        "documents": {"read": 4},
        "bytes": {"read": 200},
        "characters": 180,
        "splits": {"train": SPLIT, "test": SPLIT},
    },
    "environment": {
        "cpu": "a processor",
        "cpu_cores": 8,
        "gpus": [],
        "git": {"commit": "0123456789", "changed": False},
    },
}


@pytest.fixture(autouse=True)
def pinned(monkeypatch):
    monkeypatch.setattr(leaderboard, "CORPORA", {fingerprint(RUN["receipt"]): "a text"})


def written(folder: Path, **changes) -> Path:
    """Write a run folder; `changes` are by path: trainer.num_threads as config__trainer__num_threads."""
    facts = copy.deepcopy(RUN)
    for path, value in changes.items():
        *places, last = path.split("__")
        node = facts
        for place in places:
            node = node[place]
        node[last] = value
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(facts.pop("config")))
    for name, value in facts.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    return folder


def three(place: Path, **changes) -> list:
    """Three runs by seed, the changes made in the second."""
    folders = [
        written(
            place / str(seed),
            **{"config__seed": seed, "config__run_dir": str(seed), "result__test/bits_per_byte": 2.0 + seed / 10}
            | (changes if seed == 2 else {}),
        )
        for seed in (1, 2, 3)
    ]
    return [read_leaderboard_run(folder) for folder in folders]


def test_the_line_is_the_mean_and_half_of_students_interval(tmp_path):
    entry = judged(three(tmp_path), "mine")
    assert entry.budget.name == "60 s on two CPU cores"
    half = 4.302653 * 0.1 / math.sqrt(3)
    assert entry.line() == f"| 2.2000 ± {half:.4f} | mine | 1.50 M | a text | a processor | 01234567 |"
    assert pytest.approx(4.302652729, abs=1e-8) == QUANTILE


BROKEN = [
    ({"result__status": "STOPPED"}, "has ended as STOPPED; only whole runs count"),
    ({"config__init_from": "last"}, "began from the weights of last; they must be its own"),
    (
        {"receipt__settings__tokenizer__class": "PretrainedTokenizerConfig"},
        "a tokenizer that was made of other text",
    ),
    ({"config__trainer__test_sequences": "auto"}, "has not measured test/bits_per_byte on all of the held-out text"),
    ({"receipt__splits__test": {**SPLIT, "unknown_tokens": 3}}, "without a token for some characters"),
    ({"receipt__characters": 181}, r"not trained on a corpus of the leaderboard: its fingerprint is \w{12} \(a text\)"),
    ({"result__training_seconds": 61.0}, "has trained for 61.0 s, longer than 60 s on two CPU cores"),
    ({"config__max_minutes": 2.0}, r"was given max_minutes=2.0 on a CPU; budgets are max_minutes=1 \(60 s on two"),
    ({"config__max_minutes": 5.0}, "was given max_minutes=5.0 on a CPU"),
    ({"config__trainer__num_threads": None}, "could use 8 threads and 0 workers; two cores are the rule"),
    ({"config__trainer__devices": 2}, "could use 4 threads"),
    ({"config__data__num_workers": 1}, "could use 2 threads and 1 workers"),
    ({"config__trainer__num_nodes": 2}, "ran on 2 machines; one is the rule"),
    ({"environment__cpu": "another"}, "of mine ran on different machines: a processor; another"),
    ({"config__seed": 4}, "of mine there are seeds 1, 4, 3"),
]


@pytest.mark.parametrize(("changes", "said"), BROKEN, ids=[next(iter(changes)) for changes, _ in BROKEN])
def test_a_rule_that_is_not_kept_is_one_line(tmp_path, changes, said):
    with pytest.raises(ConfigError, match=said) as raised:
        judged(three(tmp_path, **changes), "mine")
    assert "\n" not in str(raised.value)


def test_the_step_in_which_the_time_is_over_is_no_offence(tmp_path):
    judged(three(tmp_path, result__training_seconds=61.1, result__steps=60), "mine")  # a step of a second


def test_a_gpu_has_a_budget_of_its_own(tmp_path):
    changes = {
        "environment__gpus": [{"name": "H100"}],
        "config__max_minutes": 5.0,
        "config__trainer__num_threads": None,
    }
    runs = [read_leaderboard_run(written(tmp_path / f"{seed}", config__seed=seed, **changes)) for seed in (1, 2, 3)]
    assert judged(runs, "mine").line().endswith("| H100 | 01234567 |")
    two = written(tmp_path / "two", **{**changes, "environment__gpus": [{"name": "H100"}, {"name": "H100"}]})
    with pytest.raises(ConfigError, match=r"ran on 2 GPUs; train with trainer\.devices=1"):
        judged([read_leaderboard_run(two)], "mine")
    cpu = written(tmp_path / "cpu", **changes, config__trainer__accelerator="cpu")
    with pytest.raises(ConfigError, match=r"was given max_minutes=5\.0 on a CPU"):
        judged([read_leaderboard_run(cpu)], "mine")


def test_runs_are_grouped_by_all_but_their_seed(tmp_path):
    others = [
        read_leaderboard_run(written(tmp_path / f"other{seed}", config__seed=seed, config__tokenizer={"vocab_size": 9}))
        for seed in (3, 1, 2)
    ]
    groups = entries_of([*others, *three(tmp_path)])
    assert [[run.config["seed"] for run in group] for group in groups] == [[1, 2, 3], [1, 2, 3]]


def test_a_run_that_has_not_ended_is_one_line(tmp_path):
    folder = written(tmp_path / "a")
    (folder / "result.json").unlink()
    with pytest.raises(DataError, match="the run has not ended; finish it with resume=auto"):
        read_leaderboard_run(folder)
    folder = written(tmp_path / "b")
    (folder / "receipt.json").unlink()
    with pytest.raises(DataError, match="lacks its receipt or its environment"):
        read_leaderboard_run(folder)
