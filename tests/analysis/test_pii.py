"""PII: what a model writes is looked through, counted for each 1000 tokens and looked for in its training text."""

import pytest

from prospero.analysis.pii import PiiConfig
from prospero.analysis.written import WritingConfig
from prospero.data.prepare import prepare
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.errors import ConfigError
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.measurement import Subject
from prospero.generation.sampling import SamplingConfig
from tests.data.shard_making import settings, write_corpus
from tests.generation.test_chat import Scripted

BYTES = ByteTokenizerConfig().build(lambda: iter(()))
GREEDY = SamplingConfig(temperature=0.0, max_new_tokens=40)
TEXTS = ["mail a@b.org now", "nothing in here.", "ip 8.8.8.8, x@y.org"]


def facts(**others):
    return AnalysisFacts(**{"tokenizer": BYTES, "model_kind": "transformer", "n_layers": 1, **others})


def subject():
    return Subject(decoder=Scripted(BYTES, TEXTS, BYTES.eot_id), tokenizer=BYTES, name="scripted", rows=1)


def test_findings_are_counted_and_told_from_memorised_ones(tmp_path):
    path = write_corpus(
        tmp_path, ["An old list: a@b.org and more of that kind.", *(f"text {n} of it" for n in range(99))]
    )
    prepared = prepare(settings(path, tmp_path), progress=False)
    config = PiiConfig(texts=3, decoding=GREEDY)
    found = config.build("pii", facts(data=prepared.directory))(subject())
    tokens = sum(len(text) for text in TEXTS)
    assert found.value("all") == pytest.approx(3000 / tokens) and found.value("email") == pytest.approx(2000 / tokens)
    assert found.value("ip_address") == pytest.approx(1000 / tokens) and found.value("iban") == 0
    assert found.value("in_training_text") == pytest.approx(1 / 3)
    assert found.measurement.tables(found)[0].rows[0] == ["email", "a@b.org", "yes"]


def test_without_the_training_text_it_does_not_say_what_stands_there():
    found = PiiConfig(texts=2, decoding=GREEDY).build("pii", facts())(subject())
    assert "in_training_text" not in found.quantities and found.value("email") > 0
    assert found.measurement.tables(found)[0].rows[0][2] == "-"


def test_settings_of_the_writing():
    assert WritingConfig().count(None, training=False) == 100 and WritingConfig().count(None, training=True) == 16
    assert WritingConfig(texts=7).count(3, training=False) == 7 and WritingConfig().count(3, training=False) == 3
    for wrong in ({"prompts": []}, {"texts": 0}, {"decoding": SamplingConfig(n=2)}):
        with pytest.raises(ConfigError):
            WritingConfig(**wrong)
