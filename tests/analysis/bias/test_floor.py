"""What counts as an effect beside what neutral pairs come to."""

import pytest

from prospero.analysis.bias.floor import Effect, centred, forests, reach, word_reach
from prospero.evaluation.results import Estimate
from prospero.runs.figures import canvas


def number(value, low, high):
    return Estimate(value=value, low=low, high=high, higher_is_better=False, samples=7)


@pytest.mark.parametrize(
    ("value", "low", "high", "floor", "verdict"),
    [
        (0.5, 0.4, 0.6, 0.3, "above"),
        (0.5, 0.2, 0.8, 0.3, "unclear"),  # a part of its interval is within the floor
        (0.5, -0.1, 1.1, 0.3, "none"),  # its interval holds 0
        (0.2, 0.1, 0.3, 0.3, "none"),  # under the floor, though its interval does not hold 0
        (-0.5, -0.6, -0.4, 0.3, "below"),
        (-0.5, -0.7, -0.2, 0.3, "unclear"),
        (None, None, None, 0.3, "not measured"),
        (0.5, None, None, 0.3, "no interval"),
    ],
)
def test_an_effect_under_the_floor_is_said_to_be_none(value, low, high, floor, verdict):
    effect = Effect(label="x", estimate=number(value, low, high), floor=floor)
    assert effect.verdict == verdict and effect.row()[-1] == verdict


def test_the_neutral_value_need_not_be_zero():
    assert Effect(label="x", estimate=number(60.0, 56.0, 64.0), neutral=50.0, floor=5.0).verdict == "above"
    assert Effect(label="x", estimate=number(54.0, 51.0, 57.0), neutral=50.0, floor=5.0).verdict == "none"
    assert reach(number(0.1, -0.3, 0.5)) == 0.5 and reach(number(49.0, 42.0, 56.0), 50.0) == 8.0
    assert reach(None) == 0.0 and reach(number(0.0, None, None)) == 0.0


def test_a_floor_is_level_where_its_interval_holds_what_it_should_be():
    assert centred(number(0.1, -0.3, 0.5)) is True and centred(number(0.4, 0.3, 0.5)) is False
    assert centred(number(0.0, None, None)) is None and centred(None) is None


def test_how_far_a_few_neutral_words_reach():
    values = [1.0, -1.0, 1.0, -1.0, 1.0]  # variance 1.2
    assert word_reach(values, [0.2] * 5, words=1) == pytest.approx(2.7764, abs=1e-3)  # t of 4 degrees of freedom
    assert word_reach(values, [0.2] * 5, words=4) == pytest.approx(2.7764 / 2, abs=1e-3)
    assert word_reach(values, [1.3] * 5, words=1) == 0.0  # sentences alone explain it
    assert word_reach([1.0], [0.0], words=1) == 0.0


def test_rows_tell_the_floor_and_no_verdict_of_the_floor_itself():
    assert Effect(label="x", estimate=number(0.5, 0.4, 0.6), floor=0.3).row() == [
        "x", "7", "0.5000", "0.4000 to 0.6000", "0.3000", "above",
    ]  # fmt: skip
    assert Effect(label="n", estimate=number(0.5, 0.4, 0.6), is_null=True).row()[4:] == ["noise floor", ""]
    assert Effect(label="x", estimate=number(0.5, 0.4, 0.6), judged=False).row()[4:] == ["-", ""]


def test_forests_draw_what_was_measured():
    figure = canvas(4, 3)
    nothing = Effect(label="nothing", estimate=number(None, None, None))
    assert not forests(figure, [("empty", [nothing], "nats")])
    effects = [Effect(label="$a_b$", estimate=number(0.5, 0.4, 0.6), floor=0.3), nothing]
    assert forests(figure, [("one", effects, "nats"), ("empty", [nothing], "nats")])
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["$a_b$"]
    (bar,) = axes.patches
    assert (bar.get_x(), bar.get_width()) == (-0.3, 0.6)
