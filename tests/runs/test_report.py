"""The page and the picture of a run."""

import json

import pytest

from prospero.plain import flat
from prospero.runs.environment import write_environment
from prospero.runs.figures import smooth
from prospero.runs.report import write_report
from prospero.secret_values import redacted_word
from prospero.training.loggers.metrics_file import MetricsFile


@pytest.mark.heavy
def test_the_page_shows_everything_and_executes_nothing(tmp_path):
    logger = MetricsFile(tmp_path)
    for step in range(1, 30):
        logger.log_metrics({"tokens": 10.0 * step, "train/loss": 5 / step, "train/lr": 0.1}, step)
    logger.log_metrics({"tokens": 290.0, "val/loss": 0.25, "val/bits_per_byte": 0.5}, 29)
    (tmp_path / "samples.md").write_text(
        "\n## step 9, 90 tokens, prompt 'a'\n\n````text\nold\n## no heading\n````\n"
        "\n## step 29, 290 tokens, prompt 'a'\n\n````text\n<script>alert(1)</script>\n````\n"
    )
    write_environment(tmp_path, command_line=["train.py", "logger.wandb.api_key=secret"])
    page = write_report(
        tmp_path,
        title="a <b>run</b>",
        config={"model": {"n_layers": 2}, "note": "<img src=x>"},
        receipt_lines=["kept 5 of 6 documents"],
        results={"val/loss": 0.25, "val/bits_per_byte": None},
        stop_reason="max_steps",
    ).read_text()
    for text in ("29 steps", "290 tokens", "ended by: max_steps", "model.n_layers", "kept 5 of 6", "validation loss",
                 "&lt;script&gt;alert(1)", "## no heading", "a &lt;b&gt;run", "<svg", "packages.torch"):  # fmt: skip
        assert text in page, text
    for text in ("<script", "<img", "secret", "http://", "https://"):
        assert text not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
            "https://matplotlib.org", ""
        ).replace("http://creativecommons.org", ""), text
    assert page.index("step 29") < page.index("step 9,")
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_that_logged_nothing_has_a_page_too(tmp_path):
    assert (
        "nothing happened" in write_report(tmp_path, title="t", config={}, stop_reason="nothing happened").read_text()
    )


def test_environment_file(tmp_path):
    card = {"name": "Card", "memory_bytes": 5, "cuda": "13.0"}
    write_environment(tmp_path, gpus=[card], command_line=["train.py", "seed=1"])
    facts = json.loads((tmp_path / "environment.json").read_text())
    assert facts["command_line"] == ["train.py", "seed=1"]
    assert facts["packages"]["torch"]
    assert facts["gpus"] == [card]
    assert "diff" not in facts["git"]


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("logger.wandb.api_key=x", "logger.wandb.api_key=<redacted>"),
        ("hf-token=x", "hf-token=<redacted>"),
        ("tokenizer.vocab_size=8", "tokenizer.vocab_size=8"),
        ("max_tokens=8", "max_tokens=8"),
        ("train.py", "train.py"),
    ],
)
def test_secrets_of_the_command_line(word, shown):
    assert redacted_word(word) == shown


def test_smoothing_does_not_lag_and_flatten_keeps_order():
    line = [float(i) for i in range(100)]
    assert smooth(line) == pytest.approx(line)
    assert list(flat({"b": {"c": 1, "d": {}}, "a": 2})) == ["b.c", "b.d", "a"]


@pytest.mark.parametrize("title", ["a$_$b", "$\\frac{", "数据", "a\nb"])
def test_a_title_is_text_and_no_formula(title, tmp_path, recwarn):
    from prospero.runs.figures import draw_loss

    draw_loss({"train/loss": [(1, 2.0), (2, 1.0)]}, tmp_path / "loss.png", title)
    assert (tmp_path / "loss.png").stat().st_size > 1000 and not recwarn.list
