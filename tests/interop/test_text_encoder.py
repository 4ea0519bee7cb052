"""The scorers of BERTScore: against the package bert-score with the same encoder, and models of our own."""

import random
import sys
from pathlib import Path

import numpy as np
import pytest
import tokenizers
import torch

from prospero.checkpoints.model_folder import describe_model, save_model_folder
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.errors import ConfigError, DataError
from prospero.evaluation.metrics.base import MetricFacts
from prospero.evaluation.metrics.bert_score import BertScoreConfig, matched
from prospero.evaluation.metrics.text_base import TextSample
from prospero.interop import text_encoder
from prospero.interop.text_encoder import HuggingFaceEncoder, OwnEncoder, load_text_encoder
from prospero.model.transformer import TransformerConfig

FACTS = MetricFacts(token_bytes=np.zeros(0, np.int32), seq_len=1)
WORDS = ["the", "cat", "sat", "on", "a", "mat", "dog,", "ran.", "42", "élan", "中文"]
SHAPE = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}
SAMPLE = TextSample(predictions=["the cat sat"], references=["a cat sat."])


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of random weights that reads 32 tokens at once."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("encoder") / "bert"
    folder.mkdir()
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,"
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", *letters, *(f"##{sign}" for sign in letters)]
    (folder / "vocab.txt").write_text("\n".join(names), encoding="utf-8")
    transformers.BertTokenizer(str(folder / "vocab.txt"), model_max_length=32).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(vocab_size=len(names), max_position_embeddings=32, initializer_range=0.5, **SHAPE)
    transformers.BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of Prospero's that reads 16 bytes at once."""
    folder = tmp_path_factory.mktemp("own") / "model"
    tokenizer, settings = ByteTokenizerConfig().build([]), TransformerConfig(n_layers=2, d_model=32, n_heads=2)
    torch.manual_seed(0)
    model = settings.build(tokenizer.vocab_size, 16)
    description = describe_model(settings, vocab_size=tokenizer.vocab_size, max_seq_len=16)
    save_model_folder(folder, model.state_dict(), tokenizer, description)
    return folder


def generated(n: int) -> list[TextSample]:
    rng = random.Random(5)

    def text() -> str:
        return " ".join(rng.choices(WORDS, k=rng.randint(1, 20)))  # some are longer than the encoder reads at once

    return [TextSample(predictions=[text()], references=[text() for _ in range(rng.randint(1, 3))]) for _ in range(n)]


@pytest.mark.heavy
@pytest.mark.parametrize("layer", [2, 3])
def test_the_numbers_are_those_of_the_package_with_the_same_encoder(bert, layer):
    bert_score = pytest.importorskip("bert_score")
    samples = generated(200 if layer == 2 else 30)
    predictions, references = [s.prediction for s in samples], [s.references for s in samples]
    expected = torch.stack(bert_score.score(predictions, references, model_type=str(bert), num_layers=layer), dim=1)
    metric = BertScoreConfig(encoder=str(bert), layer=layer).build(FACTS)
    found = metric.statistics(samples)[:, :3]
    assert np.std(found[:, 2]) > 0.01
    assert found == pytest.approx(expected.numpy(), abs=1e-4)


@pytest.mark.heavy
def test_they_do_not_depend_on_the_order_or_size_of_batches_and_the_last_layer_is_the_default(bert):
    samples = generated(20)
    metric = BertScoreConfig(encoder=str(bert)).build(FACTS)
    rows = metric.statistics(samples)
    assert (np.concatenate([metric.statistics([sample]) for sample in samples[::-1]])[::-1] == rows).all()
    assert (BertScoreConfig(encoder=str(bert), layer=3).build(FACTS).statistics(samples) == rows).all()


@pytest.mark.heavy
def test_empty_and_endless_texts(bert):
    metric = BertScoreConfig(encoder=str(bert)).build(FACTS)
    texts = [("", "a cat"), (" \n", "a cat"), ("a cat", ""), ("cat " * 100_000, "a cat")]
    rows = metric.statistics([TextSample(predictions=[text], references=[other]) for text, other in texts])
    assert rows[:3].tolist() == [[0, 0, 0, 1]] * 3 and 0 < rows[3, 2] < 1


@pytest.mark.heavy
def test_what_cannot_be_is_told_in_a_line(bert, tmp_path):
    with pytest.raises(ConfigError, match=r"layer=4: bert has 3 layers"):
        load_text_encoder(bert, 4)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    with pytest.raises(DataError, match="cannot be read as an encoder: "):
        load_text_encoder(tmp_path, None)


@pytest.fixture(scope="module")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A RoBERTa of random weights with 32 positions, two of which are its padding's."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("encoder") / "roberta"
    folder.mkdir()
    pieces = tokenizers.ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    pieces.train_from_iterator([" ".join(WORDS)] * 20, vocab_size=300, special_tokens=special)
    pieces.save_model(str(folder))
    files = {"vocab": str(folder / "vocab.json"), "merges": str(folder / "merges.txt")}
    transformers.RobertaTokenizer(**files, model_max_length=32).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.RobertaConfig(
        vocab_size=pieces.get_vocab_size(), max_position_embeddings=32, initializer_range=0.5, **SHAPE
    )
    transformers.RobertaModel(config).save_pretrained(folder)
    return folder


@pytest.mark.heavy
def test_roberta_reads_a_space_before_the_first_word_and_no_more_than_its_positions(roberta):
    bert_score = pytest.importorskip("bert_score")
    encoder = load_text_encoder(roberta, 2)
    assert isinstance(encoder, HuggingFaceEncoder) and encoder.window == 30
    assert encoder.encode("a " * 1000)[0].shape == (30, 32)
    spaced = encoder.encode("cat sat")[0]
    encoder.prefix = ""  # Transformers 5 takes the space that bert-score asks for from it
    assert spaced.shape != encoder.encode("cat sat")[0].shape or not torch.equal(spaced, encoder.encode("cat sat")[0])
    found = matched(encoder.encode("the cat sat"), encoder.encode("a cat ran."))
    expected = bert_score.score(["the cat sat"], ["a cat ran."], model_type=str(roberta), num_layers=2)
    assert found == pytest.approx([float(part) for part in expected], abs=1e-4)


@pytest.mark.heavy
def test_a_name_on_the_hub_has_the_layer_that_bert_score_uses(bert, monkeypatch):
    monkeypatch.setattr(text_encoder, "fetched", lambda name, revision, setting: bert)
    with pytest.raises(ConfigError, match="layer=17: FacebookAI/roberta-large has 3 layers"):
        load_text_encoder("FacebookAI/roberta-large", None)
    assert "owner/name, layer 3 of 3" in load_text_encoder("owner/name", None).name


def test_without_transformers_a_model_of_our_own_is_named_as_the_way(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"needs the package transformers: pip install 'prospero\[hub\]'; without it"):
        load_text_encoder(tmp_path, None)


def test_a_model_of_our_own_scores_too(own):
    metric = BertScoreConfig(encoder=str(own)).build(FACTS)
    samples = [SAMPLE, TextSample(predictions=["the cat sat"], references=["the cat sat"])]
    samples += [
        TextSample(predictions=[""], references=["x"]),
        TextSample(predictions=["今天" * 50], references=["天"]),
    ]
    rows = metric.statistics(samples)
    assert (
        0 < rows[0, 2] < 0.99 and rows[1].tolist() == pytest.approx([1, 1, 1, 1]) and rows[2].tolist() == [0, 0, 0, 1]
    )
    assert (np.concatenate([metric.statistics([sample]) for sample in samples]) == rows).all()
    with pytest.raises(ConfigError, match="layer=1 is for encoders of Hugging Face's"):
        BertScoreConfig(encoder=str(own), layer=1).build(FACTS).statistics([SAMPLE])


def test_our_own_reads_the_separator_first_and_no_more_than_fits(own):
    encoder = load_text_encoder(own, None)
    assert isinstance(encoder, OwnEncoder) and "the last layer of a model of Prospero's" in encoder.name
    states, weights = encoder.encode("ab")
    assert states.shape == (3, 32) and weights.tolist() == [False, True, True]
    assert encoder.encode("a" * 100)[0].shape == (16, 32)
    ids = torch.tensor([[encoder.tokenizer.eot_id, *encoder.tokenizer.encode("ab")]])
    assert torch.equal(states, encoder.model(ids).hidden[0])
