"""Presets of public sets: each on a record with the fields of its set, without the set."""

import json

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from prospero.configuration import composition
from prospero.data.records import RecordsConfig
from prospero.evaluation.tasks.choice import ChoiceTask
from prospero.evaluation.tasks.cloze import ClozeTask
from prospero.evaluation.tasks.generation import GenerationTask
from prospero.paths import config_dir
from tests.evaluation.tasks.fakes import facts, subject

pytestmark = pytest.mark.heavy
ROWS = {
    "cnn_dailymail": {"article": "Long news.", "highlights": "News .\nMore .", "id": "1"},
    "xsum": {"document": "Long news.", "summary": "News.", "id": "1"},
    "samsum": {"dialogue": "Ann: hi\r\nBob: hi", "summary": "They greet.", "id": "1"},
    "gsm8k": {"question": "How many?", "answer": "2 * 600 = <<2*600=1200>>1200\n#### 1,200"},
    "hellaswag": {
        "activity_label": "Sailing",
        "ctx_a": "How to sail [title] Look up.",
        "ctx_b": "she",
        "endings": ["sails [step] away.", "sinks.", "flies.", "[header] eats."],
        "label": "0",
    },
    "arc_easy": {
        "question": "Which is hot?",
        "choices": {"text": ["ice", "fire"], "label": ["1", "2"]},
        "answerKey": "2",
    },
    "arc_challenge": {
        "question": "Which is hot?",
        "choices": {"text": ["ice", "fire", "fog"], "label": ["A", "B", "C"]},
        "answerKey": "B",
    },
    "lambada": {"text": "he took his hat and his coat"},
    "blimp": {"sentence_good": "Who knows?", "sentence_bad": "Whom knows?", "UID": "x"},
}


@pytest.fixture
def task(tmp_path):
    composition.register()
    GlobalHydra.instance().clear()

    def task(name):
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            config = composition.typed(compose(None, overrides=[f"+tasks=[{name}]"]))["tasks"][name]
        assert config.data.dataset is not None and config.data.split in ("test", "validation", "train")
        (tmp_path / "row.jsonl").write_text(json.dumps(ROWS[name]) + "\n")
        config.data = RecordsConfig(path=str(tmp_path / "row.jsonl"))
        return config.build(name, facts())

    yield task
    GlobalHydra.instance().clear()


@pytest.mark.parametrize("name", ROWS)
def test_it_measures_a_record_of_its_set(task, name):
    made = task(name)
    (outcome,) = made(subject({})).outcomes
    if isinstance(made, GenerationTask):
        assert len(outcome.record["references"]) == 1 and outcome.record["prompt"]
    assert set(outcome.statistics) == {quantity.name for quantity in made.quantities}


def test_prompts_are_those_of_the_field(task):
    assert task("cnn_dailymail").template.fill({"article": "Long news."}) == "Long news.\nTL;DR:"
    (item,) = task("hellaswag").items
    assert item.context == "Sailing: How to sail. Look up. she"
    assert item.choices == ["sails away.", "sinks.", "flies.", " eats."] and item.answer == 0
    (item,) = task("arc_easy").items
    assert (item.context, item.choices, item.answer) == ("Question: Which is hot?\nAnswer:", ["ice", "fire"], 1)
    arc, lambada, blimp = task("arc_challenge"), task("lambada"), task("blimp")
    assert isinstance(arc, ChoiceTask) and isinstance(lambada, ClozeTask) and isinstance(blimp, ChoiceTask)
    assert arc.facts["chance"] == pytest.approx(1 / 3)
    assert lambada.items == [("he took his hat and his", " coat")]
    assert (blimp.items[0].context, blimp.items[0].answer) == ("", 0)


def test_gsm8k_compares_the_numbers(task):
    made = task("gsm8k")
    filled = made.template.fill({"question": "How many?"})
    assert filled.count("The answer is") == 8 and filled.endswith("\n\nQ: How many?\nA:")
    assert made._answer("It is 2 * 600. The answer is $1,200. So", made.config.extract) == "1200"
    assert made._answer("I do not know", made.config.extract) == ""
    (outcome,) = made(subject({})).outcomes
    assert outcome.record["references"] == ["1200"]
