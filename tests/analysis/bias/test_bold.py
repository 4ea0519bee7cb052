"""BOLD: scores of word lists and gaps by hand, in the format as published and in that of the hub."""

import json

import numpy as np
import pytest

from prospero.analysis.bias.bold import BOLDConfig, chance_gap, gap
from prospero.analysis.bias.lexicon import BAD, GOOD, embedded_lexicon, read_lexicon
from prospero.data.records import RecordsConfig
from prospero.errors import ConfigError, DataError
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.results import estimates
from prospero.generation.sampling import SamplingConfig
from prospero.runs.figures import canvas
from tests.evaluation.tasks.fakes import TOKENIZER, subject

FACTS = AnalysisFacts(tokenizer=TOKENIZER, model_kind="lstm", n_layers=1)
GENDER = {
    "American_actors": {"Jacob_Zachar": ["Jacob is x "], "Mark": ["Mark is x", "Mark was x "]},
    "American_actresses": {"Amy": ["Amy is y "]},
}
DECODING = SamplingConfig(temperature=0.0, max_new_tokens=3)


@pytest.fixture
def build(tmp_path):
    (tmp_path / "prompts").mkdir()
    (tmp_path / "words.tsv").write_text("# mine\ng\t2\nb\t-4\nnot so\t1\nq\t0\n")

    def build(value, name="gender_prompt.json", facts=FACTS, **settings):
        (tmp_path / "prompts" / name).write_text(json.dumps(value), encoding="utf-8")
        settings = {"lexicon": str(tmp_path / "words.tsv"), "decoding": DECODING} | settings
        return BOLDConfig(data=RecordsConfig(path=str(tmp_path / "prompts")), **settings).build("bold", facts)

    return build


def test_words_count_and_negations_turn_them_round():
    words = embedded_lexicon()
    assert words.score("A kind and honest man.") == (1.0, 2)
    assert words.score("He was good, not very kind; he wasn't lazy.") == (pytest.approx((1 - 1 + 1) / 3), 3)
    assert words.score("Neither here nor there") == (0.0, 0) and words.score("BAD") == (-1.0, 1)
    assert not GOOD & BAD


def test_a_list_of_ones_own(tmp_path):
    (tmp_path / "a.txt").write_text("# words\ngood\t3.1\t0.9\t[3]\nno good\t-1\nbad,-6.2\n\n")
    words = read_lexicon(str(tmp_path / "a.txt"))
    assert words.weights == {"good": pytest.approx(0.5), "bad": -1.0}
    for text, message in [
        ("good\t1\nbad\n", "line 2 is not a word and its weight: 'bad'"),
        ("good\tx\n", "line 1 is not a word"),
        ("good\t0\n", "no word with a weight other than 0"),
    ]:
        (tmp_path / "a.txt").write_text(text)
        with pytest.raises(DataError, match=message):
            read_lexicon(str(tmp_path / "a.txt"))
    with pytest.raises(DataError, match="cannot be read"):
        read_lexicon(str(tmp_path / "none.txt"))


def test_gaps_of_sums_by_hand():
    assert gap(np.array([1.0, 2.0, -3.0, 3.0, 0.0, 0.0])) == pytest.approx(1.5)
    assert gap(np.array([[1.0, 1.0, 0.0, 1.0], [0.5, 1.0, 0.5, 1.0]])).tolist() == [1.0, 0.0]
    assert np.isnan(gap(np.array([1.0, 2.0, 0.0, 0.0])))


def test_a_model_that_writes_well_of_some(build):
    """After x it writes ` g `, after y ` b `: of weights 2 and -4, the larger is 1."""
    made = build(GENDER)
    assert [one.text for one in made.prompts] == ["Jacob is x", "Mark is x", "Mark was x", "Amy is y"]
    assert {one.domain for one in made.prompts} == {"gender"}
    table = {"x": {"1": 0.9}, "y": {"2": 0.9}, "1": {" ": 0.9}, "2": {"\t": 0.9}, " ": {"g": 0.9}, "\t": {"b": 0.9}}
    measured = made(subject(table))
    assert [outcome.record["prediction"] for outcome in measured.outcomes] == ["1 g"] * 3 + ["2\tb"]
    assert measured.value("score/gender_american_actors") == 0.5
    assert measured.value("score/gender_american_actresses") == -1.0
    assert measured.value("score/gender") == pytest.approx((3 * 0.5 - 1) / 4)
    assert measured.value("positive/gender") == 0.75 and measured.value("negative/gender") == 0.25
    assert measured.value("gap/gender") == 1.5
    json.dumps([made.facts, [outcome.record for outcome in measured.outcomes]])
    gaps, scores = made.tables(measured)
    assert [row[0] for row in gaps.rows] == ["gender"]
    assert [row[:2] for row in scores.rows] == [
        ["gender", "4"],
        ["gender American_actors", "3"],
        ["gender American_actresses", "1"],
    ]
    figure = canvas(4, 4)
    assert made.draw(measured, figure) and len(figure.axes) == 2


def test_a_gap_stands_out_of_the_one_by_chance_where_there_is_one(build):
    value = {side: {f"{side} {n}": [f"{n} is {'xy'[side == 'b']}"] for n in range(40)} for side in ("a", "b")}
    for people in value.values():  # one in eight writes otherwise
        for n, name in enumerate(people):
            people[name] = [f"{n} is y"] if n % 8 == 0 else people[name]
    made = build(value)
    biased = {"x": {"1": 0.9}, "y": {"2": 0.9}, "1": {" ": 0.9}, "2": {"\t": 0.9}, " ": {"g": 0.9}, "\t": {"b": 0.9}}
    measured = made(subject(biased, rows=32))
    found = estimates(measured)
    gaps = made.tables(measured)[0]
    assert gaps.rows[0][-1] == "above"
    assert found["gap/gender"].value == pytest.approx(35 / 40 * 1.5)
    assert 0 < float(gaps.rows[0][4]) < 0.5


def test_the_gap_that_chance_reaches():
    """Two texts of one category each: whichever way they are dealt, the gap is 2."""
    assert chance_gap(np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, -1.0, 1.0]]), seed=0) == 2.0
    assert chance_gap(np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]]), seed=0) == 0.0
    assert chance_gap(np.zeros((3, 4)), seed=0) == 0.0
    scores = np.random.default_rng(1).normal(size=(400, 1))  # two means of 200: sd of their difference 0.1
    rows = np.concatenate([scores, np.ones((400, 1))], axis=1)
    rows = np.concatenate([np.pad(rows[:200], ((0, 0), (0, 2))), np.pad(rows[200:], ((0, 0), (2, 0)))])
    assert chance_gap(rows, seed=0) == pytest.approx(1.96 * 0.1 * scores.std(), rel=0.08)


def test_rows_of_the_hub(build, tmp_path):
    rows = [
        {"domain": "race", "name": "A_B", "category": "X", "prompts": ["A B is"], "wikipedia": ["A B is one."]},
        {"domain": "race", "name": "C", "category": "Y", "prompts": ["C is", "C was"], "wikipedia": ["C."]},
    ]
    made = build(rows, name="race_prompt_wiki.json")
    assert [(one.domain, one.category, one.about) for one in made.prompts] == [
        ("race", "X", "A B"),
        ("race", "Y", "C"),
        ("race", "Y", "C"),
    ]
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = BOLDConfig(data=RecordsConfig(dataset=str(tmp_path / "hub"), split="train"), decoding=DECODING)
    assert config.build("bold", FACTS).size == 3


def test_limits_and_domains(build):
    facts = AnalysisFacts(tokenizer=TOKENIZER, model_kind="lstm", n_layers=1, limit=2)
    assert build(GENDER, facts=facts).size == 2
    assert build(GENDER, limit=3).size == 3
    build({"Islam": {"Islam": ["Islam is"]}}, name="religious_ideology_prompt.json")
    assert build(GENDER, domains=["religious_ideology"]).size == 1
    with pytest.raises(ConfigError, match="has no 'race'; it has gender, religious_ideology"):
        build(GENDER, domains=["race"])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"American_actors": ["Jacob is"]}, "record 1: 'American_actors' is a list, not an object of names"),
        ({"American_actors": {"Jacob": 3.5, "Mark": {"a": 1}}}, "record 1, American_actors, Mark: field 'Mark' holds"),
        ({"American_actors": {"Jacob": [" "]}}, "record 1, American_actors, Jacob has an empty prompt"),
        ([{"domain": "race", "name": "A", "prompts": ["A is"]}], "record 1: no field 'category'"),
        ({}, "holds no prompt"),
    ],
)
def test_a_wrong_file_is_one_line_with_the_record(build, value, message):
    with pytest.raises(DataError, match=message) as caught:
        build(value)
    assert "\n" not in str(caught.value)
