"""Contamination: a planted overlap is found, by words and by tokens, and no false one."""

import json

import pytest

from prospero.analysis.contamination import ContaminationConfig, Unit
from prospero.data.prepare import prepare
from prospero.data.tokenizer.bpe import BPETokenizerConfig
from prospero.errors import ConfigError, DataError
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.measurement import Subject
from prospero.generation.decoder import ModelDecoder
from prospero.model.rnn import GRUConfig
from tests.data.shard_making import sentences, settings, write_corpus

PLANTED = "Full fathom five thy father lies; of his bones are coral made. Those are pearls that were his eyes, nothing"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    path = write_corpus(folder, [*sentences(200), *(f"{PLANTED} {n}." for n in range(5))])
    return prepare(settings(path, folder, tokenizer=BPETokenizerConfig(vocab_size=300)), progress=False)


def measured(data, config):
    facts = AnalysisFacts(tokenizer=data.tokenizer, model_kind="gru", n_layers=1, data=data.directory)
    model = GRUConfig(n_layers=1, d_model=8).build(data.tokenizer.vocab_size, 16)
    subject = Subject(decoder=ModelDecoder(model), tokenizer=data.tokenizer, name="any")
    return config.build("contamination", facts)(subject)


@pytest.mark.parametrize("unit", Unit)
def test_a_planted_overlap_is_found_and_no_false_one(tmp_path, data, unit):
    other = "A text about quite other matters, in which nobody drowns and nothing at all of the sea is told to anybody"
    upper = f"{other}. {PLANTED.upper()}" if unit is Unit.words else f"{other}. {PLANTED}"
    file, n = tmp_path / "set.jsonl", 8 if unit is Unit.words else 24  # tokens of one or two letters
    file.write_text("".join(json.dumps({"q": text}) + "\n" for text in (PLANTED, other, upper, "too short")))
    found = measured(data, ContaminationConfig(path=str(file), text_field="q", n=n, unit=unit))
    assert found.scores("touched")[:3].tolist() == [1, 0, 1]
    assert found.scores("contained")[:3].tolist() == [1, 0, 0]
    covered = found.scores("covered")
    assert covered[0] > 0.9 and covered[1] == 0 and 0.3 < covered[2] < 0.7
    assert found.value("contained") == pytest.approx(1 / 3)  # the short one is not judged
    assert [row[0][:4] for row in found.measurement.tables(found)[0].rows] == ["Full", "A te"]


def test_without_a_path_the_models_own_validation_text_is_looked_for(data):
    found = measured(data, ContaminationConfig(limit=7, unit=Unit.tokens))
    assert len(found.outcomes) == 7 and all(one.record["text"] for one in found.outcomes)


def test_what_cannot_be_is_said(tmp_path, data):
    with pytest.raises(DataError, match=r"nowhere"):
        measured(data, ContaminationConfig(path=str(tmp_path / "nowhere")))
    for wrong in ({"n": 0}, {"share": 0}, {"path": " "}):
        with pytest.raises(ConfigError):
            ContaminationConfig(**wrong)
