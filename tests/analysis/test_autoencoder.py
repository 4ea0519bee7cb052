"""The sparse autoencoder on a model's point: what it recovers, by hand; what it leaves; wrong settings."""

import pytest
import torch
from matplotlib.figure import Figure
from safetensors.torch import load_file

from prospero.analysis.autoencoder import AutoencoderConfig
from prospero.analysis.topk_autoencoder import TopKAutoencoder
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.errors import ConfigError, DataError
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.measurement import Subject
from prospero.generation.decoder import ModelDecoder
from prospero.model.hooks import record
from prospero.model.rnn import GRUConfig
from prospero.model.transformer import TransformerConfig

TOKENIZER = ByteTokenizerConfig().build()
FACTS = AnalysisFacts(tokenizer=TOKENIZER, model_kind="transformer", n_layers=2, seq_len=16)


def subject(config):
    torch.manual_seed(0)
    model = config.build(TOKENIZER.vocab_size, 16).eval()
    return Subject(decoder=ModelDecoder(model), tokenizer=TOKENIZER, name="tiny", rows=4, model=model)


TRANSFORMER = TransformerConfig(n_layers=2, d_model=32, n_heads=4, init_std=0.2)


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("".join(f"Line {number}: {'ab' * (number % 5)}.\n" for number in range(60)), encoding="utf-8")
    return str(path)


def small(text, **settings):
    usual = {"path": text, "tokens": 640, "steps": 60, "batch_size": 64, "latents": 48, "k": 4, "limit": 6}
    return AutoencoderConfig(**{**usual, **settings}).build("autoencoder", FACTS)


def identity(width: int) -> TopKAutoencoder:
    """One that gives back what it gets: a latent for each channel and its opposite."""
    model = TopKAutoencoder(width, 2 * width, width)
    both = torch.cat([torch.eye(width), -torch.eye(width)])
    with torch.no_grad():
        model.encoder.copy_(both)
        model.decoder.copy_(both.T)
    return model


@pytest.mark.parametrize("config", [TRANSFORMER, GRUConfig(n_layers=2, d_model=32)])
def test_an_activation_put_in_its_own_place_recovers_all_of_the_loss(text, config):
    it = subject(config)
    analysis = small(text, steps=1)
    analysis(it)
    analysis.trained = identity(32)
    measured = analysis(it)
    assert measured.value("loss_recovered") == pytest.approx(1.0, abs=1e-5)
    assert measured.value("unexplained") == pytest.approx(0.0, abs=1e-10)
    assert measured.value("loss_reconstructed") == pytest.approx(measured.value("loss"), abs=1e-5)
    assert measured.value("loss_zero") != pytest.approx(measured.value("loss"), abs=1e-4)


def test_what_is_rebuilt_is_judged_on_text_that_it_was_not_trained_on(text):
    it = subject(TRANSFORMER)
    analysis = small(text)
    assert not set(analysis.train.numbers) & set(analysis.judge.numbers)
    measured = analysis(it)
    assert measured.value("l0") <= 4
    assert 0 < measured.value("unexplained") < 0.7
    rows = analysis.judge.read(0, len(analysis.judge))
    with torch.no_grad(), record(it.model, ["block.0.residual"]) as found:
        logits = it.model(rows.input_ids).logits
        x = found["block.0.residual"]
        rebuilt = analysis.trained(x)
    by_hand = (x - rebuilt).square().sum() / (x - analysis.trained.mean).square().sum()
    assert measured.value("unexplained") == pytest.approx(by_hand.item(), rel=1e-4)
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows.labels.flatten())
    assert measured.value("loss") == pytest.approx(loss.item(), abs=1e-5)
    lost = [measured.value(name) for name in ("loss_zero", "loss_reconstructed", "loss")]
    assert measured.value("loss_recovered") == pytest.approx((lost[0] - lost[1]) / (lost[0] - lost[2]))
    again = small(text)(it)
    assert again.values() == measured.values()


def test_it_leaves_tensors_tables_and_a_picture(text, tmp_path):
    analysis = small(text, shown=3, texts=2)
    analysis.leave(tmp_path)
    assert not list(tmp_path.glob("*.safetensors"))
    it = subject(TRANSFORMER)
    measured = analysis(it)
    analysis.leave(tmp_path)
    tensors = load_file(tmp_path / "autoencoder.safetensors")
    assert torch.equal(tensors["decoder"], analysis.trained.decoder)
    assert {name: list(value.shape) for name, value in tensors.items()} == {
        "encoder": [48, 32], "decoder": [32, 48], "offset": [32], "scale": [], "mean": [32],
    }  # fmt: skip
    overview, texts = analysis.tables(measured)
    assert overview.title == "Latents of block.0.residual"
    assert len(overview.rows) == 3
    assert all(0 < row[1] <= 0.1 for row in overview.rows)
    assert all(row[1] > 0 for row in texts.rows)
    figure = Figure()
    assert analysis.draw(measured, figure)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"k": 0}, "k=0 must be at least 1"),
        ({"latents": 8, "k": 8}, "more than k=8"),
        ({"point": "block.0.attention.weights"}, "no vector of a token"),
        ({"split": "train"}, "trained on"),
        ({"lr": 0.0}, "above 0"),
    ],
)
def test_what_cannot_be_is_refused(settings, says):
    with pytest.raises(ConfigError, match=says):
        AutoencoderConfig(**settings)


def test_a_pattern_of_several_points_and_too_little_text_are_refused(text, tmp_path):
    with pytest.raises(ConfigError, match="means 2 points"):
        small(text, point="block.*.residual")(subject(TRANSFORMER))
    (tmp_path / "short.txt").write_text("too short", encoding="utf-8")
    with pytest.raises(DataError, match="too little text"):
        small(str(tmp_path / "short.txt"))
