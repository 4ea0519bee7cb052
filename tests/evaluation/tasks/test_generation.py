"""Tasks of writing, on a model that one can compute by hand."""

import json

import pytest

from prospero.data.records import RecordsConfig
from prospero.data.retrieval import Retrieval
from prospero.data.template import Template
from prospero.errors import ConfigError, DataError
from prospero.evaluation.tasks.generation import GenerationTaskConfig
from prospero.generation.sampling import SamplingConfig
from tests.evaluation.tasks.fakes import END, BigramDecoder, facts, subject

WRITES = {
    "=": {"x": 0.9},
    "x": {"y": 0.9},
    "y": {END: 0.9},
    "?": {END: 0.9},
    "#": {" ": 0.9},
    " ": {"7": 0.9},
    "7": {",": 0.9},
    ",": {"1": 0.9},
    "1": {".": 0.9},
    ".": {"=": 0.9},
}
"""After = it writes xy; after ? nothing; after # it writes " 7,1.=xy"."""


@pytest.fixture
def task(tmp_path):
    def task(rows, fact=None, **settings):
        path = tmp_path / "records.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        settings = {"template": "{q}", "references": "a", "metrics": []} | settings
        config = GenerationTaskConfig(data=RecordsConfig(path=str(path)), **settings)
        return config.build("mine", fact or facts())

    return task


def test_prompts_predictions_and_numbers(task):
    made = task([{"q": "1+1=", "a": ["z", "xy"]}, {"q": "é=", "a": "x"}, {"q": "nothing?", "a": ""}])
    measured = made(subject(WRITES))
    assert measured.values() == {"mine/equal": 2 / 3, "mine/sizes_first": 4 / 3, "mine/sizes_all": 4 / 3}
    assert [outcome.record for outcome in measured.outcomes] == [
        {"prompt": "1+1=", "prediction": "xy", "references": ["z", "xy"]},
        {"prompt": "é=", "prediction": "xy", "references": ["x"]},
        {"prompt": "nothing?", "prediction": "", "references": [""]},  # an empty text may be the right one
    ]
    assert measured.outcomes[0].statistics == {
        "equal": [1.0, 1.0],
        "sizes_first": [2.0, 2.0, 1.0],
        "sizes_all": [2.0, 2.0, 1.0],
    }
    assert [quantity.name for quantity in made.quantities] == ["equal", "sizes_first", "sizes_all"]


class Named(Retrieval):
    """Knows two things about whatever is asked."""

    def find(self, prompt):
        return ["one", "two"]

    def facts(self):
        return {"retrieval": "named"}


def test_facts_stand_before_the_prompt_and_leave_before_it_is_cut(task):
    named = facts(retrieval=Named(Template("{facts}\n{prompt}", "context"), None))
    decoding = SamplingConfig(temperature=0.0, max_new_tokens=2)
    made = task([{"q": "1+1=", "a": "xy"}], named, decoding=decoding)
    assert made.facts["retrieval"] == {"retrieval": "named"} and made.reads_retrieval
    record = {"prompt": "one two\n1+1=", "facts": ["one", "two"], "prediction": "xy", "references": ["xy"]}
    assert made(subject(WRITES)).outcomes[0].record == record
    tighter = (
        made(subject(WRITES, window=12)).outcomes[0].record
    )  # room for 10 tokens, one that begins a text among them
    assert (tighter["prompt"], tighter["facts"], tighter["facts_left_out"]) == ("one\n1+1=", ["one"], 1)
    none = made(subject(WRITES, window=6)).outcomes[0].record
    assert (none["prompt"], none["facts_left_out"]) == ("1+1=", 2) and "left_out" not in none


@pytest.mark.parametrize("rows", [1, 2, 16])
def test_an_item_does_not_depend_on_those_beside_it(task, rows):
    records = [{"q": f"{n}=", "a": "xy"} for n in range(7)]
    made = task(records, decoding=SamplingConfig(temperature=1.0, max_new_tokens=5, n=2))
    alone = [next(iter(made.outcomes(subject({}), [n]))) for n in range(7)]
    together = sorted(made.outcomes(subject({}, rows=rows), range(7)), key=lambda outcome: outcome.item)
    assert together == alone
    assert len({outcome.record["prediction"] for outcome in alone}) == 7  # each draws for itself


def test_several_texts_for_each_prompt(task):
    made = task([{"q": "=", "a": "xy"}], decoding=SamplingConfig(temperature=1.0, n=3, max_new_tokens=2))
    (outcome,) = made.outcomes(subject({"=": {"x": 1.0}, "x": {"y": 1.0}}), [0])
    assert outcome.record["predictions"] == ["xy"] * 3
    assert outcome.statistics["sizes_all"] == [2.0, 6.0, 1.0]


def test_answers_are_extracted_and_tidied(task):
    rows = [{"q": "#", "a": "so it is #### 7.1"}, {"q": "=", "a": "#### 8"}]
    made = task(rows, extract=r"7,[0-9]+\.?", extract_reference=r"#### (\S+)", ignore=[",", r"\."])
    first, second = made(subject(WRITES)).outcomes
    assert first.record == {"prompt": "#", "prediction": "71", "references": ["71"], "written": [" 7,1.=xy"]}
    assert second.record == {"prompt": "=", "prediction": "", "references": ["8"], "written": ["xy"]}
    assert made(subject(WRITES)).value("equal") == 0.5


def test_the_first_reference_is_weighed_after_the_prompt_that_was_read(task):
    rows = [{"q": "1=", "a": ["xy", "z"]}, {"q": "?", "a": ""}]
    made = task(rows, likelihood=True)
    measured = made(subject({"=": {"x": 0.5}, "x": {"y": 0.125}, "?": {END: 1.0}}))
    assert [outcome.statistics["bits_per_byte"] for outcome in measured.outcomes] == [pytest.approx([4, 2]), [0.0, 0.0]]
    assert measured.value("bits_per_byte") == pytest.approx(2.0)
    assert made.quantities[-1].name == "bits_per_byte" and not made.quantities[-1].higher_is_better
    long = task(
        [{"q": "word " * 500, "a": "xy"}], template="{q}=", likelihood=True, decoding=SamplingConfig(max_new_tokens=20)
    )
    (outcome,) = long.outcomes(subject({"=": {"x": 0.5}, "x": {"y": 0.125}}, window=100), [0])
    assert outcome.record["left_out"] > 0 and outcome.statistics["bits_per_byte"] == pytest.approx([4, 2])


def test_white_space_at_the_ends_may_count(task):
    kept = task([{"q": "#", "a": " 7"}], strip=False, decoding=SamplingConfig(temperature=0.0, max_new_tokens=2))
    assert kept(subject(WRITES)).value("equal") == 1.0


def test_a_document_too_long_is_cut_and_the_record_says_so(task):
    made = task([{"q": "word " * 20_000, "a": "xy"}], template="{q}=", decoding=SamplingConfig(max_new_tokens=20))
    model = subject({"=": {"x": 1.0}, "x": {"y": 1.0}, "y": {END: 1.0}}, window=100)
    (outcome,) = made.outcomes(model, [0])
    assert isinstance(model.decoder, BigramDecoder) and model.decoder.longest == 80
    assert outcome.record["left_out"] == 100_000 - 79
    assert outcome.record["prompt"].endswith("=") and outcome.record["prediction"] == "xy"


def test_a_limit_draws_the_same_items_of_a_seed(task):
    rows = [{"q": str(n), "a": "a"} for n in range(50)]

    def drawn(**settings):
        return [values["q"] for values in task(rows, **settings).values]

    five = drawn(fact=facts(limit=5))
    assert five == drawn(fact=facts(limit=5)) == drawn(limit=5) and five != drawn(fact=facts(limit=5, seed=2))
    assert sorted(five, key=int) == five and len(set(five)) == 5
    assert len(drawn(limit=5, fact=facts(limit=9))) == 5  # its own has precedence
    assert drawn(limit=99) == drawn() == [str(n) for n in range(50)]


def test_facts_name_settings_and_items(task):
    one, other = task([{"q": "=", "a": "xy"}]), task([{"q": "=", "a": "xz"}])
    assert one.facts["fingerprint"] != other.facts["fingerprint"]
    assert one.facts["settings"]["template"] == "{q}" and one.facts["records"].endswith("records.jsonl")
    json.dumps(one.facts)


def test_missing_fields_are_found_before_there_is_a_model(task):
    with pytest.raises(DataError, match=r"no field 'question'; fields found: q, a\."):
        task([{"q": "=", "a": "xy"}], template="{question}")
    with pytest.raises(DataError, match="no field 'answer'"):
        task([{"q": "=", "a": "xy"}], references="answer")
    with pytest.raises(DataError, match="field 'a' holds an empty list"):
        task([{"q": "=", "a": []}])
    with pytest.raises(ConfigError, match="equal compares with references"):
        task([{"q": "="}], references=None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"template": "all the same"}, "has no {field}"),
        ({"template": "{a}", "source": "b"}, "source=b is none of the template's fields: a"),
        ({"extract": "("}, "is no regular expression"),
        ({"ignore": ["["]}, "is no regular expression"),
        ({"limit": 0}, "limit=0"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ConfigError) as caught:
        GenerationTaskConfig(**settings)
    assert message in str(caught.value)


def test_without_data_it_says_what_to_give():
    with pytest.raises(ConfigError, match=r"give tasks\.mine\.data\.path="):
        GenerationTaskConfig().build("mine", facts())
