"""The probe of facts: hits and reciprocal ranks of a hand-made case, its three columns, filtered answers."""

import json
from dataclasses import replace

import pytest

from prospero.data.receipt import FORMAT, REQUIRED, write_receipt
from prospero.data.receipt import plain as receipt_plain
from prospero.data.retrieval import Retrieval, RetrievalFacts
from prospero.data.sources.triples import TriplesConfig
from prospero.data.template import Template
from prospero.data.triples.of_run import knowledge_of
from prospero.errors import ConfigError, DataError
from prospero.evaluation.results import estimates, table
from prospero.evaluation.tasks.base import TaskFacts, build_tasks
from prospero.evaluation.tasks.choice import ChoiceConfig
from prospero.evaluation.tasks.facts import FactsConfig, Length, slugs
from tests.evaluation.tasks.fakes import END, subject

TABLE = {"?": {"a": 0.5, "b": 0.25, "c": 0.125}, "!": {"c": 0.5, "b": 0.25, "a": 0.125}, END: {"x": 1.0}}
"""After ?, what a question without context ends with: a, b, c. After !, which a context puts there: c, b, a."""


class Exclaim(Retrieval):
    """Puts a fact behind the prompt, so that the next byte depends on it."""

    def find(self, prompt):
        return ["!"]

    def facts(self):
        return {"retrieval": "exclaim"}


RETRIEVAL = Exclaim(Template("{prompt}{facts}", "context"), None)
ROWS = [(f"s{n}", "like", "abc"[n % 3]) for n in range(30)]


@pytest.fixture
def build(tmp_path):
    (tmp_path / "t.yaml").write_text("like: ['{subject} likes {object}', 'HELD {subject}?{object}']")

    def build(rows=ROWS, retrieval=RETRIEVAL, **settings):
        (tmp_path / "a.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))
        settings = {"path": str(tmp_path / "a.tsv"), "templates_file": str(tmp_path / "t.yaml")} | settings
        return FactsConfig(**settings).build("facts", TaskFacts(retrieval=retrieval))

    return build


def test_ranks_in_three_columns_by_hand(build):
    task = build()
    measured = task(subject(TABLE))
    values, answers = measured.values(), {"a": 0, "b": 0, "c": 0}
    for item in task.items:
        answers[item.triple.object] += item.column == "neither"
    n = sum(answers.values())
    assert n >= 3 and task.facts["questions"] == {"weights": 30 - n, "context": n, "neither": n}
    assert values["facts/neither_hits_at_1"] == pytest.approx(answers["a"] / n)
    assert values["facts/context_hits_at_1"] == pytest.approx(answers["c"] / n)
    by_rank = (answers["a"] + answers["b"] / 2 + answers["c"] / 3) / n
    assert values["facts/neither_mrr"] == values["facts/neither_mrr_like"] == pytest.approx(by_rank)
    assert values["facts/weights_hits_at_10"] == 1.0 and task.facts["chance"] == pytest.approx(1 / 3)
    record = next(outcome.record for outcome in measured.outcomes if outcome.record["column"] == "context")
    assert record["prompt"].startswith("HELD s") and record["prompt"].endswith("?!")
    assert (record["facts"], record["prediction"], record["candidates"]) == (["!"], "c", 3)
    json.dumps([task.facts, record])


def test_the_same_questions_with_and_without_context(build):
    asked = {}
    for item in build().items:
        asked.setdefault(item.column, []).append(item.triple)
    assert asked["context"] == asked["neither"] and not set(asked["weights"]) & set(asked["context"])
    assert len(build(limit=4).items) == 12


def test_other_right_answers_do_not_count_against_one(build):
    rows = [*ROWS, *((f"s{n}", "like", "a") for n in range(30)), *((f"s{n}", "like", "b") for n in range(30))]
    filtered, raw = build(rows)(subject(TABLE)), build(rows, filtered=False)(subject(TABLE))
    ranks = {outcome.record["rank"] for outcome in filtered.outcomes if outcome.record["references"] != ["c"]}
    assert ranks <= {1.0, 2.0} and filtered.value("neither_mrr") > raw.value("neither_mrr")
    third = [one.record["rank"] for one in filtered.outcomes if one.record["references"] == ["c"]]
    assert set(third) == {1.0, 2.0, 3.0} or set(third) == {1.0}


def test_length_and_trained_templates(build):
    rows = [(f"s{n}", "like", "aa" if n % 2 else "b") for n in range(30)]
    table_ = TABLE | {"a": {"a": 0.9}}
    by_sum, by_byte = (build(rows, length=length)(subject(table_)) for length in (Length.none, Length.bytes))
    assert by_sum.outcomes[0].record["prediction"] == "aa" == by_byte.outcomes[0].record["prediction"]
    table_ = TABLE | {"a": {"a": 0.2}}  # 0.5 x 0.2 < 0.25, and its root is more
    by_sum, by_byte = (build(rows, length=length)(subject(table_)) for length in (Length.none, Length.tokens))
    assert (by_sum.outcomes[0].record["prediction"], by_byte.outcomes[0].record["prediction"]) == ("b", "aa")
    assert build(held_out=False).question(build().items[0].triple).before.endswith(" likes ")


def test_one_table_with_three_columns_and_intervals_over_their_own_questions(build):
    measured = build()(subject(TABLE))
    found = {"facts": estimates(measured)}
    lines = table(found, {"facts": measured.grids})
    assert [word in lines[0] for word in ("in the weights", "in the context", "neither")] == [True] * 3
    assert [line.split()[0] for line in lines[1:]] == [
        "hits@1",
        "hits@10",
        "MRR",
        *["hits@1", "hits@10", "MRR"],
        "items",
    ]
    one = found["facts"]["neither_hits_at_10"]
    n = one.samples
    assert (one.value, one.high) == (1.0, 1.0) and one.low == pytest.approx(n / (n + 1.959964**2)), "Wilson's interval"
    assert lines[-1].split()[1:] == [str(30 - n), str(n), str(n)]


def store(folder, config, **source) -> None:
    """Write what a receipt says of the source."""
    said = {"description": config.build().describe()}
    settings = {"source": receipt_plain(config) | source}
    rest = dict.fromkeys(REQUIRED, "")
    write_receipt(folder, rest | {"format": FORMAT, "source": said, "settings": settings})


def test_the_triples_of_a_run_are_found_again_by_its_receipt(tmp_path):
    rows = "".join(f"s{n}\tlike\t{'abc'[n % 3]}\n" for n in range(30))
    (tmp_path / "a.tsv").write_text(rows)
    config = TriplesConfig(
        path=str(tmp_path / "a.tsv"), facts_seed=7, templates={"like": ["{subject}{object}", "{object}{subject}"]}
    )
    store(tmp_path, config)
    knowledge_of.cache_clear()
    task = FactsConfig().build("facts", TaskFacts(validation=tmp_path))
    assert task.known.config == config and task.retrieval.find("s3")[0].startswith("s3")
    (tmp_path / "a.tsv").write_text(rows + "s\tlike\ta\n")
    knowledge_of.cache_clear()
    with pytest.raises(DataError, match=r"other ones than the model was trained with: 31 triples.*30 triples"):
        FactsConfig().build("facts", TaskFacts(validation=tmp_path))
    knowledge_of.cache_clear()
    store(tmp_path, config, **{"class": "FilesConfig"})
    with pytest.raises(ConfigError, match=r"not on triples \(data=triples\); give tasks\.facts\.path="):
        FactsConfig().build("facts", TaskFacts(validation=tmp_path))
    knowledge_of.cache_clear()


def test_what_is_missing_is_one_line(build):
    with pytest.raises(ConfigError, match=r"prepared data are not here, so its triples are not known; give tasks\."):
        FactsConfig().build("facts", TaskFacts())
    with pytest.raises(ConfigError, match=r"leaves no fact that is told, or none that is not"):
        build([("a", "like", "b")])
    with pytest.raises(ConfigError, match=r"templates_file= is for the triples of path="):
        FactsConfig(templates_file="t.yaml")
    pair = ChoiceConfig(limit=1)
    with pytest.raises(ConfigError, match=r"none of the tasks choice has any"):
        build_tasks({"choice": replace(pair)}, TaskFacts(retrieval=RETRIEVAL))


def test_names_of_relations():
    assert slugs(["born in", "born-in", "Born in", "出生", "!"]) == [
        "born_in",
        "born_in_2",
        "born_in_3",
        "出生",
        "relation",
    ]


def test_the_contract_of_a_retrieval_is_kept():
    assert RetrievalFacts().prepared is None and RETRIEVAL.before("x", subject(TABLE).tokenizer, None).text == "x!"
