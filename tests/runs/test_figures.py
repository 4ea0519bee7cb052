"""The curve of the loss names the value that counts."""

from prospero.runs.figures import figure, plot_loss


def test_the_best_validation_is_labelled_and_not_the_last():
    _, axes = figure(4.0, 3.0)
    plot_loss(axes, {"val/loss": [(2, 5.0), (4, 4.743), (6, 4.743), (8, 4.854)]})
    (label,) = axes.texts
    assert label.get_text() == "4.743" and label.xy == (6, 4.743)
