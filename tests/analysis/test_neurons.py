"""Dashboards of neurons: the units that vary most, their texts by hand, RNNs, wrong settings."""

import pytest
import torch
from matplotlib.figure import Figure

from prospero.analysis.neurons import NeuronsConfig
from prospero.analysis.unit_texts import token_text
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.errors import ConfigError
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.measurement import Subject
from prospero.generation.decoder import ModelDecoder
from prospero.model.hooks import record
from prospero.model.layers.feed_forward import Activation
from prospero.model.rnn import LSTMConfig
from prospero.model.transformer import TransformerConfig

TOKENIZER = ByteTokenizerConfig().build()
FACTS = AnalysisFacts(tokenizer=TOKENIZER, model_kind="transformer", n_layers=2, seq_len=16)


def subject(config):
    torch.manual_seed(0)
    model = config.build(TOKENIZER.vocab_size, 16).eval()
    return Subject(decoder=ModelDecoder(model), tokenizer=TOKENIZER, name="tiny", rows=4, model=model)


TRANSFORMER = TransformerConfig(n_layers=2, d_model=32, n_heads=4, d_ff=24, init_std=0.2, activation=Activation.relu)


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("".join(f"Line {number}: {'ab' * (number % 5)}.\n" for number in range(12)), encoding="utf-8")
    return str(path)


def places_of_largest(far):
    """The flat place of the largest of each row, the row with the largest first."""
    peaks = far.max(dim=1)
    order = peaks.values.argsort(descending=True)
    return [int(row) * far.shape[1] + int(peaks.indices[row]) for row in order]


def test_the_units_that_vary_most_and_the_texts_that_move_them(text):
    analysis = NeuronsConfig(path=text, per_point=2, texts=3, context=4).build("neurons", FACTS)
    it = subject(TRANSFORMER)
    measured = analysis(it)
    units = measured.outcomes[0].record["units"]
    ids = analysis.rows.read(range(analysis.rows.size)).input_ids
    with torch.no_grad(), record(it.model, ["block.*.feed_forward.hidden"]) as found:
        it.model(ids)
    for block in (0, 1):
        values = found[f"block.{block}.feed_forward.hidden"]
        variance = values.flatten(0, 1).var(dim=0, correction=0)
        mine = [one for one in units if one["point"].startswith(f"block.{block}.")]
        assert [one["unit"] for one in mine] == variance.argsort(descending=True)[:2].tolist()
        best = values[:, :, mine[0]["unit"]]
        far = (best - best.mean()).abs()
        assert mine[0]["deviation"] == pytest.approx(float(variance.max().sqrt()), rel=1e-3)
        assert [text["value"] for text in mine[0]["texts"]] == pytest.approx(
            [best.flatten()[i].item() for i in places_of_largest(far)[:3]], abs=1e-4
        )
        row, place = divmod(int(far.argmax()), 16)
        assert mine[0]["texts"][0]["token"] == token_text(TOKENIZER, int(ids[row, place]))
        assert mine[0]["texts"][0]["before"] == TOKENIZER.decode(ids[row, max(0, place - 4) : place].tolist())
        assert sum(mine[0]["histogram"]["counts"]) == ids.numel()
        assert len(mine[0]["raised"]) == 8
    everything = torch.cat([value.flatten(0, 1) for value in found.values()], dim=1)
    assert measured.value("constant") == pytest.approx(float((everything.std(dim=0) <= 1e-6).float().mean()))
    overview, texts = analysis.tables(measured)
    assert (len(overview.rows), len(texts.rows)) == (4, 12)
    figure = Figure()
    assert analysis.draw(measured, figure)
    assert len(figure.axes) == 4


def test_a_dead_neuron_is_counted(text):
    it = subject(TRANSFORMER)
    with torch.no_grad():
        it.model.blocks[0].feed_forward.up.weight[5:9] = 0
    dead = NeuronsConfig(path=text).build("neurons", FACTS)(it).value("constant")
    assert dead >= 4 / 48


def test_chosen_units_of_an_rnn(text):
    analysis = NeuronsConfig(path=text, units=["block.1.output:3", "block.0.gates.forget:0"]).build("neurons", FACTS)
    units = analysis(subject(LSTMConfig(n_layers=2, d_model=8))).outcomes[0].record["units"]
    assert [(one["point"], one["unit"]) for one in units] == [("block.1.output", 3), ("block.0.gates.forget", 0)]
    assert "raised" in units[0]
    assert "raised" not in units[1]
    assert units[1]["above_zero"] == 1.0
    usual = NeuronsConfig(path=text, per_point=1).build("neurons", FACTS)
    found = usual(subject(LSTMConfig(n_layers=2, d_model=8))).outcomes[0].record["units"]
    assert [one["point"] for one in found] == ["block.0.output", "block.1.output"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"units": ["block.0.feed_forward.hidden"]}, "point:number"),
        ({"units": ["a:1"], "points": ["a"]}, "leave points= out"),
        ({"points": ["block.*.attention.scores"]}, "no vector of a token"),
        ({"texts": 0}, "at least 1"),
    ],
)
def test_what_cannot_be_is_refused(settings, says):
    with pytest.raises(ConfigError, match=says):
        NeuronsConfig(**settings)


def test_a_unit_that_is_not_there_is_refused(text):
    analysis = NeuronsConfig(path=text, units=["block.0.feed_forward.hidden:24"]).build("neurons", FACTS)
    with pytest.raises(ConfigError, match="units 0 to 23, not 24"):
        analysis(subject(TRANSFORMER))
