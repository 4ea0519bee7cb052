"""Probes: a property that the activations hold is found, one that they do not hold is not, and selectivity tells."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from prospero.analysis.cells import cells_of
from prospero.analysis.probes import ProbesConfig, control_labels, places
from prospero.analysis.text_properties import NONE, PROPERTIES, TextProperty
from prospero.data.tokenizer.byte import ByteTokenizerConfig
from prospero.errors import ConfigError, DataError
from prospero.evaluation.analyses import AnalysisFacts
from prospero.evaluation.measurement import Subject
from prospero.generation.decoder import ModelDecoder
from prospero.model.rnn import GRUConfig
from prospero.model.transformer import TransformerConfig

TOKENIZER = ByteTokenizerConfig().build()
FACTS = AnalysisFacts(tokenizer=TOKENIZER, model_kind="transformer", n_layers=2, seq_len=64)


def subject(config):
    torch.manual_seed(0)
    model = config.build(TOKENIZER.vocab_size, 64).eval()
    return Subject(decoder=ModelDecoder(model), tokenizer=TOKENIZER, name="tiny", rows=16, model=model)


TRANSFORMER = TransformerConfig(n_layers=1, d_model=64, n_heads=4, init_std=0.2)


@pytest.fixture
def programs(tmp_path):
    """Forty small programs, each a file."""
    draw = np.random.default_rng(0)
    for number in range(40):
        lines = [f"v{draw.integers(10)} = ({draw.integers(99)} + [a, '{draw.integers(9)}'][{k}])" for k in range(6)]
        (tmp_path / f"{number:02}.py").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(tmp_path)


def test_what_the_activations_hold_is_found_and_a_coin_is_not(programs, monkeypatch):
    """A byte's own kind stands in its embedding, so a probe is never wrong there; how a coin fell stands nowhere."""

    def digit(text: str) -> np.ndarray:
        return np.array([character.isdigit() for character in text], dtype=np.int64)

    def coin(text: str) -> np.ndarray:
        return np.random.default_rng(len(text) * 7 + ord(text[0])).integers(2, size=len(text))

    for name, function in (("digit", digit), ("coin", coin)):
        prop = TextProperty(name=name, classes=("no", "yes"), of_characters=function)
        monkeypatch.setitem(PROPERTIES, name, prop)
    config = ProbesConfig(path=programs, properties=["digit", "coin"], tokens=1500, l2=1e-4)
    measured = config.build("probes", FACTS)(subject(TRANSFORMER))
    embedding, _ = cells_of(measured, "digit/accuracy")
    assert embedding == 1.0
    assert 0.4 < measured.value("coin/accuracy") < 0.6
    assert abs(measured.value("coin/selectivity")) < 0.6
    assert measured.value("digit/majority") < 0.9


def test_a_control_task_is_as_easy_where_a_probe_learns_tokens_by_heart(programs):
    """At the embedding nothing but the token is known: the control is learned too, and selectivity is about 0."""
    config = ProbesConfig(path=programs, properties=["bracket_depth"], tokens=1500, l2=1e-5)
    analysis = config.build("probes", FACTS)
    measured = analysis(subject(TRANSFORMER))
    control = cells_of(measured, "bracket_depth/accuracy") - cells_of(measured, "bracket_depth/selectivity")
    assert control[0] > 0.99
    (table,) = analysis.tables(measured)
    assert [row[0] for row in table.rows] == ["embedding", "block.0.residual"]
    assert table.rows[0][4] == pytest.approx(control[0])
    figure = Figure()
    assert analysis.draw(measured, figure)
    assert len(figure.axes) == 2


def test_documents_are_on_one_side_alone_and_an_rnn_is_probed_too(programs):
    config = ProbesConfig(path=programs, properties=["token_kind"], tokens=500, limit=30)
    analysis = config.build("probes", FACTS)
    train, test = ({one.text for one in side} for side in (analysis.split.train, analysis.split.test))
    assert train
    assert test
    assert not train & test
    assert sum(len(one.ids) for one in analysis.split.train) >= 500
    measured = analysis(subject(GRUConfig(n_layers=2, d_model=16)))
    assert measured.outcomes[0].record["places"] == ["embedding", "block.0.output", "block.1.output"]
    assert measured.value("token_kind/accuracy") > measured.value("token_kind/majority")


def test_the_control_gives_each_token_one_class_by_the_propertys_shares():
    generator = np.random.default_rng(0)
    ids = [generator.integers(500, size=5000), generator.integers(500, size=700)]
    labels = [np.where(generator.random(len(part)) < 0.2, 1, 0) for part in ids]
    labels[1][:10] = NONE
    train, test = control_labels(ids, labels, 2, seed=3)
    assert (test[:10] == NONE).all()
    assert 0.12 < train.mean() < 0.28
    seen: dict[int, int] = {}
    for id_, label in zip(np.concatenate(ids), np.concatenate([train, test])):
        if label != NONE:
            assert seen.setdefault(int(id_), int(label)) == label


def test_places_are_the_points_that_patterns_mean():
    model = subject(TRANSFORMER).model
    assert model is not None
    assert places(model, []) == ["embedding", "block.0.residual"]
    assert places(model, ["block.*.middle"]) == ["block.0.middle"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"properties": ["token_knd"]}, "Did you mean 'token_kind'"),
        ({"points": ["block.0.attention.weights"]}, "no vector of a token"),
        ({"test_share": 1.0}, "between 0 and 1"),
        ({"tokens": 5}, "too few"),
        ({"l2": -1.0}, "negative"),
    ],
)
def test_what_cannot_be_is_refused(settings, says):
    with pytest.raises(ConfigError, match=says):
        ProbesConfig(**settings)


def test_a_property_that_no_text_has_is_refused(tmp_path):
    for number in range(8):
        text = f"It's no program, and nobody's {number} days' work, is it? "
        (tmp_path / f"{number}.txt").write_text(text * 4, encoding="utf-8")
    with pytest.raises(DataError, match=r"analyses\.probes: token_kind is to be seen in none"):
        ProbesConfig(path=str(tmp_path), tokens=100, properties=["token_kind"]).build("probes", FACTS)
