"""A sweep's table: the best first, failed jobs last, and the mean over seeds with its interval."""

import csv

import pytest

from prospero.runs.result import Status
from prospero.sweeps import table
from tests.sweeps.fakes import result


@pytest.fixture
def results(tmp_path):
    return [
        result(0, ["model=a", "seed=1"], 2.0, tmp_path),
        result(1, ["model=b", "seed=1"], 1.0, tmp_path),
        result(2, ["model=a", "seed=2"], 4.0, tmp_path),
        result(3, ["model=b", "seed=2"], None, tmp_path),
        result(4, ["model=c", "seed=1"], float("nan"), tmp_path),
    ]


def test_best_first_nan_and_failed_last(results):
    assert [r.job.number for r in table.jobs_best_first(results)] == [1, 0, 2, 4, 3]


def test_the_larger_is_the_better_one_where_the_runs_say_so(results):
    for one in results:
        one.metrics |= {"objective_direction": "maximize"} if one.metrics else {}
    assert [r.job.number for r in table.jobs_best_first(results)] == [2, 0, 1, 4, 3]
    means = table.screen_table(results).partition("over seeds:")[2].splitlines()
    assert [line.split()[:2] for line in means[2:5]] == [["a", "3.0000"], ["b", "1.0000"], ["c", "nan"]]


def test_a_run_of_before_directions_minimises(results, tmp_path):
    for one in results:
        one.metrics.pop("objective_direction", None)
    assert [r.job.number for r in table.jobs_best_first(results)] == [1, 0, 2, 4, 3]


TOKENS = "is made of nats per token, which cannot be compared between different tokenizers or data"


@pytest.mark.parametrize(
    ("words", "name", "expected"),
    [
        (("tokenizer=byte", "tokenizer=bpe"), "val/loss", f"note: val/loss {TOKENS} (tokenizer); give"),
        (("tokenizer.vocab_size=512", "tokenizer.vocab_size=1024"), "val/perplexity", "(tokenizer.vocab_size); give"),
        (("data=stdlib", "data=files"), "val/loss", "(data); give monitor=val/bits_per_byte"),
        (("data.num_workers=0", "data.num_workers=2"), "val/loss", None),
        (("tokenizer=byte", "tokenizer=byte"), "val/loss", None),
        (("tokenizer=byte", "tokenizer=bpe"), "val/bits_per_byte", None),
        (("model=tiny", "model=small"), "val/loss", None),
    ],
)
def test_nats_per_token_of_different_tokenizers_are_not_compared_in_silence(words, name, expected, tmp_path):
    rows = [result(number, [word], 1.0 + number, tmp_path, name=name) for number, word in enumerate(words)]
    text = table.screen_table(rows)
    assert text.count("note:") == (expected is not None)
    assert expected is None or expected in text.splitlines()[-1]


def test_a_pruned_job_comes_after_those_that_trained_to_the_end(results, tmp_path):
    pruned = result(5, ["model=d"], 0.5, tmp_path, status=Status.pruned)
    assert [r.job.number for r in table.jobs_best_first([pruned, *results])] == [1, 0, 2, 4, 5, 3]
    assert "0.5000 PRUNED" in table.screen_table([pruned, *results])


def test_csv_has_settings_metrics_and_rank(results, tmp_path):
    table.write_table(tmp_path / "sweep.csv", results)
    with open(tmp_path / "sweep.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["job"] for row in rows] == ["1", "0", "2", "4", "3"]
    assert not {"objective_name", "objective_direction", "stop_reason"} & set(rows[0])
    assert rows[0]["model"] == "b" and rows[0]["val/loss"] == "1.0" and rows[-1]["status"] == "FAILED"


def test_screen_table_gives_mean_and_student_interval(results):
    text = table.screen_table(results)
    # a: mean 3.0, standard deviation sqrt(2), two seeds: 12.7062 * sqrt(2) / sqrt(2)
    assert "3.0000" in text and "12.7062" in text
    assert text.index("over seeds") > text.index("FAILED")


def test_the_value_of_a_secret_is_not_in_the_table(tmp_path):
    rows = [result(0, ["logger.wandb.api_key=abc123", "seed=1"], 1.0, tmp_path)]
    table.write_table(tmp_path / "sweep.csv", rows)
    text = (tmp_path / "sweep.csv").read_text()
    assert "abc123" not in text and "<redacted>" in text


def test_seeds_alone_give_a_mean_and_an_interval(tmp_path):
    rows = [result(number, [f"seed={number}"], float(number), tmp_path) for number in range(1, 3)]
    means = table.screen_table(rows).partition("over seeds:")[2].splitlines()
    assert means[2].split() == ["1.5000", "6.3531", "2"], "12.7062 times 0.7071 over the root of 2"


def test_twelve_seeds_have_the_interval_of_eleven_degrees_of_freedom(tmp_path):
    rows = [result(number, ["model=a", f"seed={number}"], float(number % 2), tmp_path) for number in range(12)]
    rows.append(result(12, ["model=b", "seed=1"], 9.0, tmp_path))
    means = table.screen_table(rows).partition("over seeds:")[2].splitlines()
    assert means[2].split() == ["a", "0.5000", "0.3318", "12"], "2.2010 times 0.5222 over the root of 12"


def test_a_jobs_line_names_what_differs(tmp_path):
    one = result(3, ["max_steps=9", "name='1.10'", "seed=1"], 1.0, tmp_path)
    assert one.line({"seed"}).startswith("[3] seed=1: DONE") and "max_steps=9 name=" in one.line()
    assert one.job.settings()["name"] == "1.10"


def test_the_best_setting_is_judged_against_the_others_and_stands_in_a_file(tmp_path):
    losses = {"a": (2.0, 2.02, 2.01), "b": (2.51, 2.52, 2.54), "c": (2.0, 2.05, 1.99)}
    jobs = [(f"model={m}", f"seed={seed}", loss) for m, of in losses.items() for seed, loss in enumerate(of)]
    rows = [result(number, [m, seed], loss, tmp_path) for number, (m, seed, loss) in enumerate(jobs)]
    said = table.screen_table(rows).splitlines()
    assert said[-3:] == [
        "a and c: not separable with these 3 seeds; about 600 would be needed",
        "a beats b by 0.513 (95 % 0.475 to 0.551, p < 0.001)",
        "(p by Holm's correction over all pairs)",
    ]
    assert table.write_means(tmp_path / "means.csv", rows)
    with open(tmp_path / "means.csv", newline="") as file:
        means = list(csv.DictReader(file))
    assert [row["model"] for row in means] == ["a", "c", "b"]
    assert means[0]["verdict"] == "" and means[2]["verdict"] == said[-2] and means[2]["test"] == "paired t"
    assert (float(means[0]["low"]) + float(means[0]["high"])) / 2 == pytest.approx(float(means[0]["mean"]))


def test_without_seeds_there_are_no_means(tmp_path):
    rows = [result(number, [f"model={name}"], float(number), tmp_path) for number, name in enumerate("ab")]
    assert not table.write_means(tmp_path / "means.csv", rows) and not (tmp_path / "means.csv").exists()


def test_each_budget_is_judged_for_itself(tmp_path):
    budgets = (["max_tokens=9"], 0.0), (["max_minutes=2"], -1.0)
    rows = []
    for words, shift in budgets:
        for model, loss in (("a", 2.0), ("b", 2.5)):
            for seed in (1, 2, 3):
                chosen = [*words, f"model={model}", f"seed={seed}"]
                rows.append(result(len(rows), chosen, loss + shift + seed / 100, tmp_path))
    rows[0].metrics["objective"] += 0.001
    rows[7].metrics["objective"] += 0.001
    said = table.screen_table(rows).splitlines()
    assert [line.split(" by ")[0] for line in said if " beats " in line] == [
        "model=a max_minutes=2 beats model=b max_minutes=2",
        "max_tokens=9 model=a beats max_tokens=9 model=b",
    ]


def test_other_data_are_no_pairs(tmp_path):
    rows = [
        result(number, [f"data={'ab'[number % 2]}", f"seed={number // 2}"], number / 10 + number % 2, tmp_path)
        for number in range(6)
    ]
    found = table.over_seeds(rows)
    assert found is not None and [verdict.test for verdict in found.verdicts] == ["Welch"]
