"""Task files of the harness on a model of ours: its own evaluator's numbers, by our loop."""

import json
import math
from pathlib import Path

import lm_eval
import numpy as np
import pytest
import torch
import yaml
from lm_eval.tasks import TaskManager
from sklearn.metrics import f1_score, matthews_corrcoef

from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.errors import ConfigError, DataError
from prospero.evaluation.lm_eval.aggregation import AGGREGATIONS
from prospero.evaluation.lm_eval.measurement import HarnessMeasurement
from prospero.evaluation.lm_eval.model import HarnessModel
from prospero.evaluation.measurement import Measured, Subject
from prospero.evaluation.tasks.base import TaskFacts
from prospero.evaluation.tasks.lm_eval import LMEvalConfig
from prospero.generation.decoder import ModelDecoder
from prospero.model.transformer import TransformerConfig

pytestmark = pytest.mark.heavy

DOCUMENTS = 9
CHOICE = {
    "output_type": "multiple_choice",
    "doc_to_text": "{{question}}\nAnswer:",
    "doc_to_choice": "{{options}}",
    "doc_to_target": "gold",
    "fewshot_split": "train",
    "num_fewshot": 2,
    "metric_list": [{"metric": name} for name in ("acc", "acc_norm", "brier_score", "f1", "mcc")],
}
ROLLING = {
    "output_type": "loglikelihood_rolling",
    "doc_to_text": "",
    "doc_to_target": "{{question}}",
    "metric_list": [{"metric": name} for name in ("word_perplexity", "byte_perplexity", "bits_per_byte")],
}
WRITING = {
    "output_type": "generate_until",
    "doc_to_text": "{{question}} ",
    "doc_to_target": "{{options[gold]}}",
    "generation_kwargs": {"until": ["\n"], "max_gen_toks": 5, "do_sample": False},
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    "filter_list": [
        {"name": "first", "filter": [{"function": "take_first"}]},
        {"name": "letter", "filter": [{"function": "regex", "regex_pattern": "([a-z])"}, {"function": "take_first"}]},
    ],
}
LAST_WORD = {
    "output_type": "loglikelihood",
    "doc_to_text": "{{question}}",
    "doc_to_target": "{{options[gold]}}",
    "metric_list": [{"metric": "perplexity"}, {"metric": "acc"}],
}


@pytest.fixture(scope="module")
def subject() -> Subject:
    torch.manual_seed(3)
    tokenizer = ByteTokenizerConfig().build(lambda: iter(()))
    model = TransformerConfig(n_layers=2, d_model=32, n_heads=4).build(tokenizer.vocab_size, 64).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return Subject(decoder=ModelDecoder(model), tokenizer=tokenizer, name="tiny", rows=4)


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a task file and its data; return the file."""
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    for split in ("train", "test"):
        rows = [
            {"question": f"What is {split} {n} ö?", "options": ["yes", f"not {n}"], "gold": n % 2}
            for n in range(DOCUMENTS)
        ]
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    def one(name: str, task: dict, **changes) -> str:
        data = {split: str(tmp_path / f"{split}.jsonl") for split in ("train", "test")}
        whole = {
            "task": name,
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": data, "cache_dir": str(tmp_path / "cache")},
            "training_split": "train",
            "test_split": "test",
        }
        file = tmp_path / f"{name}.yaml"
        file.write_text(yaml.safe_dump({**whole, **task, **changes}), encoding="utf-8")
        return str(file)

    return one


def test_numbers_are_those_of_the_harness_itself(write, subject):
    """All kinds of questions at once, with examples, filters and a limit."""
    files = [
        write(name, task)
        for name, task in (("choice", CHOICE), ("rolling", ROLLING), ("writing", WRITING), ("word", LAST_WORD))
    ]
    measured = LMEvalConfig(tasks=files).build("lm_eval", TaskFacts(limit=7))(subject)
    theirs = TaskManager(include_defaults=False).load(files)
    for task in theirs["tasks"].values():
        task.set_fewshot_seed(1234)
    expected = lm_eval.evaluate(HarnessModel(subject, seed=1), theirs, limit=7, bootstrap_iters=0)
    assert expected is not None
    for task, numbers in expected["results"].items():
        for key, value in numbers.items():
            metric, comma, chain = key.partition(",")
            if comma and "stderr" not in metric and isinstance(value, float | int):
                ours = f"{task}/{metric}" + ("" if chain == "none" else f"_{chain}")
                assert measured.value(ours) == pytest.approx(value, rel=1e-6), ours
    assert len(measured.quantities) == 5 + 3 + 2 + 2
    assert [measured.quantities[f"rolling/{name}"].higher_is_better for name in ("bits_per_byte",)] == [False]
    assert measured.facts["tasks"]["choice"]["documents"] == 7


def test_an_outcome_depends_on_its_document_alone(write, subject):
    file = write("choice", CHOICE)
    measurement = LMEvalConfig(tasks=[file, write("writing", WRITING)]).build("lm_eval", TaskFacts())
    assert measurement.size == 2 * DOCUMENTS
    whole = measurement(subject).outcomes
    again = LMEvalConfig(tasks=[file, str(Path(file).with_name("writing.yaml"))]).build("lm_eval", TaskFacts())
    some = {outcome.item: outcome for outcome in again.outcomes(subject, [16, 3, 4])}
    assert sorted(some) == [3, 4, 16]
    for item, outcome in some.items():
        assert outcome.record["task"] == whole[item].record["task"]
        for name, row in outcome.statistics.items():
            assert list(row) == pytest.approx(list(whole[item].statistics[name]), rel=1e-5)
    assert np.isnan(Measured(again, list(some.values())).scores("choice/acc")[0]), "it is of the other task"


def test_records_show_what_was_asked_and_said(write, subject):
    measurement = LMEvalConfig(tasks=[write("choice", CHOICE), write("writing", WRITING)], limit=1).build(
        "lm_eval", TaskFacts(limit=5)
    )
    choice, writing = (outcome.record for outcome in measurement(subject).outcomes)
    assert choice["prompt"].endswith("What is test 0 ö?\nAnswer:") and choice["prompt"].count("Answer:") == 3
    assert [option["text"] for option in choice["choices"]] == [" yes", " not 0"]
    assert choice["scores"]["acc"] in (0.0, 1.0)
    assert isinstance(writing["prediction"], str) and set(writing) >= {"scores_first", "scores_letter", "target"}
    assert json.dumps([choice, writing])


def test_the_number_of_examples_can_be_given(write, subject):
    measurement = LMEvalConfig(tasks=[write("choice", CHOICE)], num_fewshot=0, limit=1).build("t", TaskFacts())
    assert isinstance(measurement, HarnessMeasurement)
    assert measurement(subject).outcomes[0].record["prompt"] == "What is test 0 ö?\nAnswer:"
    assert measurement.facts["tasks"]["choice"]["num_fewshot"] == 0


def test_what_cannot_be_measured_is_one_line(write, caplog):
    odd = {"metric_list": [{"metric": "bleu"}, {"metric": "exact_match"}]}
    measurement = LMEvalConfig(tasks=[write("writing", WRITING, filter_list=None, **odd)]).build("t", TaskFacts())
    assert [quantity.name for quantity in measurement.quantities] == ["writing/exact_match"]
    assert "lm_eval's task writing measures bleu by no sum over documents; left out" in caplog.text
    only = LMEvalConfig(tasks=[write("only", WRITING, metric_list=[{"metric": "bleu"}])])
    with pytest.raises(ConfigError, match="measures bleu by no sum over documents, and nothing else; choose another"):
        only.build("t", TaskFacts())
    with pytest.raises(ConfigError, match="task unsafe runs the code that a model writes; take tasks="):
        LMEvalConfig(tasks=[write("unsafe", WRITING, unsafe_code=True)]).build("t", TaskFacts())
    with pytest.raises(DataError, match=r"lm_eval cannot read tasks .*gone\.yaml: FileNotFoundError"):
        LMEvalConfig(tasks=[write("gone", CHOICE, dataset_kwargs={"data_files": "gone.jsonl"})]).build("t", TaskFacts())
    with pytest.raises(DataError, match=r"lm_eval cannot read tasks .*field\.yaml"):
        LMEvalConfig(tasks=[write("field", CHOICE, doc_to_choice="{{nothing}}")]).build("t", TaskFacts())


def test_aggregations_are_those_of_the_libraries():
    answers = np.random.default_rng(0).integers(0, 2, size=(40, 2)).tolist()
    gold, found = zip(*answers)
    for name, expected in (("f1", f1_score(gold, found)), ("matthews_corrcoef", matthews_corrcoef(gold, found))):
        aggregation = AGGREGATIONS[name]
        sums = np.sum([aggregation.statistics(tuple(answer)) for answer in answers], axis=0)
        assert float(aggregation.finish(sums)) == pytest.approx(float(expected))
        assert math.isnan(float(aggregation.finish(np.zeros(4))))
    with pytest.raises(DataError, match=r"of two classes, and a document has \(2, 0\)"):
        AGGREGATIONS["f1"].statistics((2, 0))
    values = AGGREGATIONS["nanmean"]
    assert [values.statistics(math.nan), values.statistics(2.0)] == [[0.0, 0.0], [2.0, 1.0]]
