"""The curve of the loss names the value that counts."""

from prospero.runs.figures import figure, loss_alone, plot_loss


def test_the_best_validation_is_labelled_and_not_the_last():
    _, axes = figure(4.0, 3.0)
    plot_loss(axes, {"val/loss": [(2, 5.0), (4, 4.743), (6, 4.743), (8, 4.854)]})
    (label,) = axes.texts
    assert label.get_text() == "4.743" and label.xy == (6, 4.743)


def test_training_is_drawn_without_what_regularisers_add_for_validation_has_none():
    series = {
        "train/loss": [(1, 5.0), (2, 4.0)], "train/loss/cross_entropy": [(1, 4.25), (2, 3.5)],
        "train/loss/l2": [(1, 0.5), (2, 0.25)], "train/loss/z_loss": [(1, 0.25), (2, 0.25)], "val/loss": [(2, 3.6)],
    }  # fmt: skip
    assert loss_alone(series, ["l2", "z_loss"])["train/loss"] == [(1, 4.25), (2, 3.5)]
    assert loss_alone(series, [])["train/loss"] == series["train/loss"]
    assert loss_alone({"val/loss": [(2, 3.6)]}, ["l2"])["val/loss"] == [(2, 3.6)]
