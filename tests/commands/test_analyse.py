"""`prospero analyse`: the numbers of training again, files, other models, refusals; and the callback that does it."""

import json
import math
from pathlib import Path

import pytest

from prospero.commands.analyse import AnalyseConfig, analyse
from prospero.commands.export import export
from prospero.commands.train import train
from prospero.configuration.compose import compose
from prospero.errors import ConfigError
from prospero.runs.folder import EvaluationFolder
from prospero.runs.metrics import metric_series

RUN = Path("outputs/train/first")
WORDS = [
    "data=files", "data.path=text.txt", "tokenizer=bpe", "tokenizer.vocab_size=300", "model=tiny", "model.d_model=32",
    "model.n_heads=2", "model.n_layers=2", "seq_len=32", "global_batch_size=4", "micro_batch_size=4",
    "optimizer=adamw", "trainer.accelerator=cpu", "trainer.precision=float32", "trainer.val_sequences=7",
    "trainer.test_sequences=4", "callbacks=[checkpoints,analysis,evaluation]", "max_steps=4", f"run_dir={RUN}",
    "analysis.analyses=[activations]", "analysis.every_steps=2", "analysis.limit=5", "evaluation.tasks=[text]",
    "evaluation.every_steps=4", "evaluation.limit=3", "trainer.val_every_steps=3",
]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("analyse")
    (folder / "text.txt").write_text("".join(f"The {n}th line, and {n * n} more.\n" for n in range(1500)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert train(compose("train", WORDS)) == 0
    return folder


@pytest.fixture(autouse=True)
def here(place, monkeypatch):
    monkeypatch.chdir(place)


def run(*words: str) -> dict[str, float | None]:
    assert analyse(compose("analyse", ["trainer.accelerator=cpu", "trainer.devices=1", *words])) == 0
    out = next(word.partition("=")[2] for word in words if word.startswith("out="))
    found = json.loads(EvaluationFolder(Path(out)).results.read_text())["tasks"]["activations"]
    assert found["tables"][0]["columns"] == ["block", "rms", "kurtosis"] and found["caveats"]
    return {name: one["value"] for name, one in found["values"].items()}


def test_curves_pictures_and_report_of_a_training():
    series = metric_series(RUN / "metrics.csv")
    assert [step for step, _ in series["val/activations/rms/1"]] == [2, 4]
    assert [step for step, _ in series["val/text/loss"]] == [4], "its numbers stand beside, each at its own steps"
    assert [step for step, _ in series["val/loss"]] == [2, 3, 4]
    assert {path.name for path in (RUN / "analyses").glob("*.png")} == {
        "activations_step_00000002.png",
        "activations_step_00000004.png",
    }
    curves = (RUN / "report.html").read_text().count("<div class=panel><svg")
    drawn = {"val/loss", "val/bits_per_byte", "train/lr", "train/grad_norm", "train/tokens_per_second"}
    assert curves == sum(len(series.get(name, [])) > 1 for name in drawn) + 4, "rms and kurtosis of two blocks"


def test_the_numbers_of_the_training_come_out_again_with_a_picture_and_a_page(capsys):
    values = run("run=first", "analyses=[activations]", "limit=5", "out=out_one")
    last = {name: points[-1][1] for name, points in metric_series(RUN / "metrics.csv").items()}
    for name, value in values.items():
        assert value == pytest.approx(last[f"val/activations/{name}"], rel=1e-6)
    shown = capsys.readouterr().out
    for text in ("activations/rms/1", "The residual stream after each block", "low precision"):
        assert text in shown
    assert "is better" not in shown, "neither way is"
    assert Path("out_one/activations.png").stat().st_size > 10_000
    page = Path("out_one/report.html").read_text()
    assert "<svg" in page and "The residual stream after each block" in page


def test_a_checkpoint_and_an_exported_folder_are_opened_too():
    before = run(f"run={RUN}/checkpoints/step_00000004", "analyses=[activations]", "limit=5", "out=out_checkpoint")
    assert export(compose("export", ["run=first", "to=huggingface", "out=hf"])) == 0
    after = run("run=hf", "analyses=[activations]", "limit=5", "analyses.activations.seq_len=32", "out=out_hf")
    assert set(after) == set(before) and all(math.isfinite(value) for value in after.values())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["analyses=[]"], r"analyses=\[\] looks at nothing"),
        (["analyses=[activation]"], r"activation.*Did you mean 'activations'"),
        (["analyses=[activations]", "analyses.activations.limit=0"], "limit=0 leaves nothing"),
        (["analyses=[activations]", "trainer.precision=bf16"], r"trainer\.precision does not act"),
        (["analyses=[activations]", "run=frist"], "frist"),
    ],
)
def test_mistakes(words, message):
    with pytest.raises(ConfigError, match=message):
        analyse(compose("analyse", words))
    assert not (RUN / "analyses" / "activations").exists()


def test_settings_without_the_callback_and_the_callback_without_settings_are_refused():
    with pytest.raises(ConfigError, match=r"analyses=\[activations\] are measured by the callback analysis"):
        compose("train", ["analyses=[activations]"])
    with pytest.raises(ConfigError, match="the callback analysis has nothing to measure"):
        compose("train", ["callbacks=[default,analysis]"])
    with pytest.raises(ConfigError, match="looks at nothing"):
        AnalyseConfig()
