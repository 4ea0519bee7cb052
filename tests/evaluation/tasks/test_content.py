"""Free continuation: what is written is measured, and what was really written is scored by hand."""

import json

import pytest

from prospero.data.records import RecordsConfig
from prospero.errors import ConfigError
from prospero.evaluation.tasks.content import ContentConfig
from prospero.generation.sampling import SamplingConfig
from tests.evaluation.tasks.fakes import END, bits, facts, subject

TABLE = {"a": {"b": 0.5, "c": 0.25}, "b": {"c": 0.125}, "c": {END: 1.0}}


def test_written_and_real_continuations(tmp_path):
    rows = [
        {"beginning": "xa", "continuation": "bc"},
        {"beginning": "a", "continuation": "c"},
        {"beginning": "a", "continuation": ""},
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = ContentConfig(
        data=RecordsConfig(path=str(tmp_path / "a.jsonl")), metrics=[], decoding=SamplingConfig(temperature=0.0)
    )
    task = config.build("stories", facts())
    measured = task(subject(TABLE))
    assert [outcome.record["prediction"] for outcome in measured.outcomes] == ["bc", "bc", "bc"]
    assert [outcome.statistics["bits_per_byte"] for outcome in measured.outcomes] == [
        pytest.approx([bits(0.5, 0.125), 2]),
        pytest.approx([bits(0.25), 1]),
        [0.0, 0.0],  # nothing to measure; the others' sums stand
    ]
    assert measured.value("bits_per_byte") == pytest.approx(6 / 3)
    assert measured.value("sizes_first") == 2.0
    assert [q.higher_is_better for q in task.quantities if q.name == "bits_per_byte"] == [False]


def test_the_real_continuation_has_a_field():
    with pytest.raises(ConfigError, match=r"likelihood=true.*references=null"):
        ContentConfig(references=None)
