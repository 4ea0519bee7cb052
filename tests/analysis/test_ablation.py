"""Ablation: the rise of the loss without a head or a layer, against weights that are taken out by hand."""

import numpy as np
import pytest
import torch

from prospero.analysis.ablation import Ablation, AblationConfig, Replacement
from prospero.errors import ConfigError
from prospero.model.base import LanguageModel
from prospero.model.hooks import record, replace
from prospero.runs.figures import canvas
from tests.analysis.small_models import facts, model, subject, text_file


def built(tmp_path, kind="transformer", **settings) -> Ablation:
    return AblationConfig(path=text_file(tmp_path), **settings).build("ablation", facts(kind))


def loss(analysis: Ablation, network: LanguageModel) -> float:
    return analysis(subject(network)).value("loss")


def cells(analysis: Ablation, network: LanguageModel, part: str) -> np.ndarray:
    sums = analysis(subject(network)).statistics(part).sum(axis=0)
    return sums[:-1] / sums[-1]


def test_by_zero_it_is_the_model_without_those_weights(tmp_path):
    analysis = built(tmp_path, by=Replacement.zero)
    measured = analysis(subject(model()))
    whole = measured.value("loss")
    sums = {part: measured.statistics(part).sum(axis=0) for part in analysis.parts}
    rises = {part: row[:-1] / row[-1] for part, row in sums.items()}
    assert rises["heads"].shape == (8,) and rises["attention"].shape == rises["feed_forward"].shape == (2,)
    with torch.no_grad():
        without_head, without_attention, without_feed_forward = model(), model(), model()
        without_head.blocks[1].attention.out.weight[:, 2 * 4 : 3 * 4] = 0  # head 2, of width 4
        without_attention.blocks[0].attention.out.weight[:] = 0
        without_feed_forward.blocks[1].feed_forward.down.weight[:] = 0
    cheap = built(tmp_path, parts=["attention"])
    by_hand = [loss(cheap, one) - whole for one in (without_head, without_attention, without_feed_forward)]
    found = [rises["heads"][4 + 2], rises["attention"][0], rises["feed_forward"][1]]
    np.testing.assert_allclose(found, by_hand, atol=1e-5)
    assert min(map(abs, by_hand)) > 1e-3  # each of them matters


def test_by_mean_the_part_that_is_always_the_same_stays(tmp_path):
    """A bias of the output is the same everywhere: its mean is itself, and taking the layer away changes nothing."""
    network = model(bias=True)
    with torch.no_grad():
        for block in network.blocks:
            block.attention.out.weight.zero_()
            block.attention.out.bias.normal_()
    mean, zero = (built(tmp_path, by=by, parts=["attention"]) for by in Replacement)
    assert np.abs(cells(mean, network, "attention")).max() < 1e-6
    assert np.abs(cells(zero, network, "attention")).min() > 1e-3


def test_the_mean_is_that_of_the_first_rows(tmp_path):
    network, analysis = model(), built(tmp_path, parts=["heads"])
    rows = analysis.rows.read(range(min(16, analysis.size)))
    with torch.no_grad(), record(network, ["block.1.attention.heads"]) as found:
        network(rows.input_ids)
    expected = found["block.1.attention.heads"].mean(dim=(0, 1))
    torch.testing.assert_close(analysis._means(network)["block.1.attention.heads"], expected)

    def replaced(there: torch.Tensor, time: int | None = None) -> torch.Tensor:
        return torch.cat((there[:, :, :2], expected[2:3].expand_as(there[:, :, 2:3]), there[:, :, 3:]), dim=2)

    whole, found_rise = loss(analysis, network), cells(analysis, network, "heads")[4 + 2]
    with replace(network, {"block.1.attention.heads": replaced}):
        rise = loss(built(tmp_path, parts=["feed_forward"]), network) - whole
    assert found_rise == pytest.approx(rise, abs=1e-6) and abs(rise) > 1e-4


def test_numbers_do_not_depend_on_which_items_are_asked(tmp_path):
    analysis = built(tmp_path)
    whole = analysis(subject(model()))
    some = list(analysis.outcomes(subject(model(), rows=2), [3, 4]))
    for outcome in some:
        for name, row in outcome.statistics.items():
            np.testing.assert_allclose(row, whole.outcomes[outcome.item].statistics[name], atol=1e-4)


def test_only_the_parts_that_are_asked_for(tmp_path):
    analysis = built(tmp_path, parts=["feed_forward"])
    measured = analysis(subject(model()))
    assert list(measured.quantities) == ["loss", "feed_forward"]
    (table,) = analysis.tables(measured)
    assert table.columns[:2] == ["block", "nats per token"] and [row[0] for row in table.rows] == [0, 1]
    assert analysis.draw(measured, canvas(9.0, 5.0))


def test_tables_and_picture(tmp_path):
    analysis = built(tmp_path)
    measured = analysis(subject(model()))
    heads, attention, feed_forward = analysis.tables(measured)
    assert len(heads.rows) == 8 and heads.rows[0][2] == pytest.approx(measured.value("heads"))
    assert [row[2] for row in heads.rows] == sorted((row[2] for row in heads.rows), reverse=True)
    assert len(attention.rows) == len(feed_forward.rows) == 2
    assert analysis.draw(measured, canvas(9.0, 5.0))


def test_what_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no 'head'\. Did you mean 'heads'"):
        AblationConfig(parts=["head"])
    with pytest.raises(ConfigError, match=r"parts=\[\] takes nothing away"):
        AblationConfig(parts=[])
    with pytest.raises(ConfigError, match="limit=0"):
        AblationConfig(limit=0)
    with pytest.raises(ConfigError, match=r"analyses\.ablation looks at attention, and a model=gru has none"):
        built(tmp_path, "gru")
