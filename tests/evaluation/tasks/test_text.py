"""The task text: sequences as a validation cuts them, sums by hand, files of any kind, and what is refused."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.data.tokenizer.char import CharTokenizerConfig
from prospero.errors import ConfigError, DataError
from prospero.evaluation.measurement import Subject
from prospero.evaluation.metrics.accuracy import AccuracyConfig
from prospero.evaluation.metrics.loss_by_source import LossBySourceConfig
from prospero.evaluation.tasks.base import TaskFacts
from prospero.evaluation.tasks.text import Text, TextConfig
from prospero.generation.decoder import ModelDecoder
from prospero.generation.packed import PackedDecoder
from prospero.model.rnn import LSTMConfig
from prospero.model.transformer import TransformerConfig

TOKENIZER = ByteTokenizerConfig().build(lambda: iter(()))
FACTS = TaskFacts(tokenizer=TOKENIZER, seq_len=8)
TEXT = "abcdefgh" * 5 + "é"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def task(file, facts=FACTS, **settings) -> Text:
    return TextConfig(path=str(file), **settings).build("text", facts)


TINY = TransformerConfig(n_layers=1, d_model=16, n_heads=2)


def subject(rows=3, seed=1, kind=TINY, decoder=ModelDecoder):
    torch.manual_seed(seed)
    model = kind.build(vocab_size=TOKENIZER.vocab_size, max_seq_len=8).eval()
    return Subject(decoder=decoder(model), tokenizer=TOKENIZER, name="tiny", rows=rows)


def test_the_sums_are_those_of_the_model(file):
    found = task(file)(subject())
    ids = [TOKENIZER.eot_id, *TOKENIZER.encode(TEXT), TOKENIZER.eot_id]
    assert len(found.outcomes) == math.ceil((len(ids) - 1) / 8) == 6
    decoder = subject().decoder
    nats = []
    for start in range(0, len(ids) - 1, 8):
        window = ids[start : start + 9]
        hidden = decoder.hidden(torch.tensor([window[:-1]]))[0]
        nats.append(-decoder.project(hidden).log_softmax(-1)[range(len(window) - 1), window[1:]].sum().item())
    np.testing.assert_allclose(found.statistics("loss")[:, 0], nats, rtol=1e-5)
    assert found.statistics("loss")[:, 1].tolist() == [8, 8, 8, 8, 8, 3]
    assert found.statistics("bits_per_byte")[:, 1].sum() == len(TEXT.encode())
    assert found.value("loss") == pytest.approx(sum(nats) / 43, rel=1e-6)
    assert found.value("perplexity") == pytest.approx(math.exp(found.value("loss")))
    assert found.outcomes[0].record["text"] == "abcdefgh" and len(found.outcomes[0].record["hardest tokens"]) == 5


def test_the_packed_decoder_measures_the_same(file):
    exact, packed = task(file)(subject()), task(file)(subject(decoder=PackedDecoder))
    assert packed.value("loss") == pytest.approx(exact.value("loss"), rel=1e-5)


def test_a_recurrent_model_is_measured_too(file):
    assert 4 < task(file)(subject(kind=LSTMConfig(n_layers=1, d_model=16))).value("loss") < 7


def test_numbers_do_not_depend_on_rows_or_on_what_is_asked_beside(file):
    facts = TaskFacts(tokenizer=TOKENIZER, seq_len=8, token_metrics={"accuracy": AccuracyConfig()})
    one, many = (task(file, facts)(subject(rows)) for rows in (1, 16))
    assert list(one.quantities) == ["loss", "accuracy"]
    np.testing.assert_array_equal(one.statistics("accuracy"), many.statistics("accuracy"))
    np.testing.assert_allclose(one.statistics("loss"), many.statistics("loss"), rtol=1e-5)
    alone = next(task(file, facts).outcomes(subject(1), [4]))
    assert alone.item == 4 and list(alone.statistics["loss"]) == one.statistics("loss")[4].tolist()


def test_items_are_spread_over_the_text_as_those_of_a_validation(file):
    spread = task(file, limit=3)
    assert spread.sequences.tolist() == [0, 2, 5] and spread.size == 3
    assert task(file, TaskFacts(tokenizer=TOKENIZER, seq_len=8, limit=2)).sequences.tolist() == [0, 5]
    assert task(file, TaskFacts(tokenizer=TOKENIZER, seq_len=8, limit=2), limit="all").size == 6
    assert task(file, seq_len=4).size == 11
    assert spread.facts["of_sequences"] == 6 and spread.facts["seq_len"] == 8


def test_the_text_decides_the_facts(file, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text(TEXT.replace("a", "b"), encoding="utf-8")
    assert task(file).facts == task(file).facts
    assert task(file).facts["text"] != task(other).facts["text"]


def test_every_source_has_a_number(tmp_path):
    rows = ['{"text": "aaaaaaaa"}', '{"text": "bbbb"}']
    for name, row in zip(("a.jsonl", "b.jsonl"), rows):
        (tmp_path / name).write_text(row + "\n")
    facts = TaskFacts(tokenizer=TOKENIZER, seq_len=8, token_metrics={"loss_by_source": LossBySourceConfig()})
    found = TextConfig(path=str(tmp_path)).build("text", facts)(subject())
    parts = [name for name in found.quantities if name != "loss"]
    assert parts
    total = sum(found.statistics(name)[:, 1].sum() for name in parts)
    assert total == found.statistics("loss")[:, 1].sum() == 14


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"limit": "al"}, "limit=al must be a number of 1 or more, all, or auto. Did you mean 'all'?"),
        ({"limit": 0}, "limit=0 must be a number"),
        ({"seq_len": 0}, "seq_len=0 must be at least 1"),
        ({"path": " "}, "path= is empty"),
        ({"split": "vall"}, "split=vall is none. Did you mean 'val'?"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, said):
    with pytest.raises(ConfigError, match=said.replace("?", r"\?")):
        TextConfig(**settings)


def test_text_that_is_not_there_is_one_line(tmp_path, file):
    with pytest.raises(DataError, match=r"tasks.text: the prepared data .* are not here; prepare them .* or give"):
        TextConfig().build("text", FACTS)
    with pytest.raises(DataError, match=r"nothere.txt does not exist.*Give tasks.text.path="):
        task(tmp_path / "nothere.txt")
    with pytest.raises(ConfigError, match="encoded by the model's tokenizer, and this model has none"):
        task(file, TaskFacts())
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(DataError, match=r"is empty; give tasks.text.path= a file with text"):
        task(tmp_path / "empty.txt")


def test_a_sequence_longer_than_the_window_is_refused(file):
    with pytest.raises(ConfigError, match=r"tasks.text.seq_len=9: the model reads 8 tokens at once"):
        task(file, seq_len=9)(subject())


def test_another_tokenizer_is_refused(file):
    other = replace(subject(), tokenizer=CharTokenizerConfig().build(lambda: iter(["abc"])))
    with pytest.raises(DataError, match="tiny has another tokenizer"):
        task(file)(other)
