"""`prospero dynamics`: what it says of a run's checkpoints, of two runs, and of what is not there."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
from tests.runs.comparison.fakes import fake_sweep

from prospero.analysis.dynamics import report
from prospero.analysis.dynamics.matrices import matrix_numbers
from prospero.checkpoints.run_checkpoints import Checkpoint
from prospero.commands.dynamics import DynamicsConfig, dynamics
from prospero.commands.train import train
from prospero.configuration.compose import compose
from prospero.errors import ConfigError
from prospero.runs.figures import save
from prospero.runs.folder import DynamicsFolder, RunFolder
from prospero.training import results as training_results

pytestmark = pytest.mark.heavy

PNG = b"\x89PNG"
WORDS = [
    "data=files", "data.path=text.txt", "tokenizer=byte", "model=tiny", "model.d_model=32", "model.n_heads=4",
    "model.n_kv_heads=2", "seq_len=32", "global_batch_size=8", "optimizer=adamw", "optimizer.lr=0.002",
    "trainer.accelerator=cpu", "trainer.precision=float32", "trainer.val_sequences=40", "trainer.test_sequences=1",
    "callbacks=[checkpoints]", "callbacks.checkpoints.every_steps=2", "callbacks.checkpoints.keep_last=99",
    "callbacks.checkpoints.gradients=true", "trainer.val_every_steps=4", "max_steps=8",
]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dynamics")
    (folder / "text.txt").write_text("".join(f"The {n}th line, and {n * n} more.\n" for n in range(1500)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(training_results, "write_report", lambda *_, **__: None)
        assert train(compose("train", [*WORDS, "run_dir=outputs/train/a"])) == 0
        patch.setattr(report, "save", save_some)
        assert dynamics(DynamicsConfig(run="a", tokens=40 * 32, activations=300)) == 0
        later = shutil.ignore_patterns("step_00000006", "step_00000008", "dynamics")
        shutil.copytree("outputs/train/a", "outputs/train/b", ignore=later)
    return folder


def save_some(figure, path) -> None:
    """Draw two pictures; each takes a second of a core."""
    save(figure, path) if path.stem in ("weights", "similarity") else path.write_bytes(PNG)


@pytest.fixture(autouse=True)
def _here(place, monkeypatch):
    """Pictures are drawn by the fixture."""
    monkeypatch.chdir(place)
    monkeypatch.setattr(report, "save", lambda figure, path: path.write_bytes(PNG))


def files(run="a") -> DynamicsFolder:
    return DynamicsFolder(RunFolder(Path("outputs/train", run)).dynamics)


def table(path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_loss_at_a_checkpoint_is_the_validation_of_its_step():
    rows = table(files().losses)
    assert [row["step"] for row in rows] == ["2", "4", "6", "8"]
    validated = [row for row in rows if row["val_loss"]]
    assert [row["step"] for row in validated] == ["4", "8"]
    for row in validated:
        assert float(row["loss"]) == pytest.approx(float(row["val_loss"]), rel=1e-5)
    words = json.loads(files().summary.read_text())["runs"]["a"]
    assert words["text_tokens"] == 40 * 32 and words["steps"] == [2, 4, 6, 8]


def test_the_numbers_of_a_matrix_are_those_of_its_checkpoint_and_its_update_is_since_the_one_before():
    rows = {(row["step"], row["of"], row["name"], row["head"]): row for row in table(files().matrices)}
    first, second = (
        Checkpoint.open(f"outputs/train/a/checkpoints/step_0000000{step}").model_state() for step in (2, 4)
    )
    name = "blocks.1.attention.k.weight"
    before, after = first[name].whole(), second[name].whole()
    row, numbers = rows["4", "weight", name, ""], matrix_numbers(after)
    assert float(row["effective_rank"]) == pytest.approx(numbers.effective_rank, rel=1e-5)
    assert float(row["gini"]) == pytest.approx(numbers.gini, rel=1e-5) and row["layer"] == "1"
    assert float(row["update_to_weight"]) == pytest.approx(float((after - before).norm() / before.norm()), rel=1e-5)
    assert row["update_steps"] == "2" and rows["2", "weight", name, ""]["update_to_weight"] == ""
    heads = [second[f"blocks.1.attention.{part}.weight"].whole() for part in ("out", "v")]
    ov = heads[0][:, 24:32] @ heads[1][8:16]  # head 3 of 4, the second of two key/value heads
    circuit = rows["4", "OV", "blocks.1.attention", "3"]
    assert float(circuit["frobenius_norm"]) == pytest.approx(float(ov.norm()), rel=1e-4)
    assert float(circuit["hoyer"]) == pytest.approx(matrix_numbers(ov).hoyer, rel=1e-4)
    gradients = Checkpoint.open("outputs/train/a/checkpoints/step_00000004").gradients()
    assert gradients is not None
    gradient = rows["4", "gradient", name, ""]
    share = float(gradients[name].whole().norm() / after.norm())
    assert float(gradient["gradient_to_weight"]) == pytest.approx(share, rel=1e-4)


def test_representations_come_nearer_to_the_last_and_chance_is_measured():
    rows = table(files().similarity)
    to_last = [row for row in rows if row["over"] == "steps" and row["point_a"] == "hidden" and row["step_b"] == "8"]
    assert [row["step_a"] for row in to_last] == ["2", "4", "6"]
    near = [float(row["unbiased_cka"]) for row in to_last]
    assert near[0] < near[-1] < 1
    assert all(row["pwcca"] for row in to_last)
    (shuffled,) = [row for row in rows if row["over"] == "shuffled"]
    assert abs(float(shuffled["unbiased_cka"])) < 0.1 < float(shuffled["cka"]) + 0.1
    layers = [row for row in rows if row["over"] == "layers"]
    assert len(layers) == 4 * 3, "embedding, two blocks and hidden, each with each other one"


def test_words_and_tokens_have_their_curves():
    words = {row["text"]: row for row in table(files().words)}
    assert "line" in words and "The" in words and "," not in words
    assert len(words["line"]["losses"].split()) == 4 and int(words["line"]["count"]) >= 10
    tokens = {row["text"]: row for row in table(files().tokens)}
    assert "," in tokens and "\\n" in tokens


def test_the_page_needs_no_network_and_has_every_picture():
    page = files().page.read_text()
    names = ["words", "weights", "gradients", "circuits", "heads", "activations", "similarity"]
    assert all(files().picture(name).read_bytes()[:4] == PNG for name in names)
    assert page.count("data:image/png;base64,") == len(names)
    assert not re.findall(r'(?:src|href)="(?!data:)', page) and "<script" not in page


def test_two_runs_are_compared_on_the_same_text(capsys):
    dynamics(DynamicsConfig(run="a,b", tokens=40 * 32, activations=300, most_checkpoints=2))
    folder = DynamicsFolder(Path("outputs/dynamics"))
    rows = [row for row in table(folder.similarity) if row["over"] == "runs"]
    assert len(rows) == 16 and {(row["run_a"], row["run_b"]) for row in rows} == {("a", "b")}
    same = {row["point_a"]: float(row["unbiased_cka"]) for row in rows if row["point_a"] == row["point_b"]}
    assert 0.5 < same["embedding"] < 0.999, "other weights, of the same beginning"
    assert [row["step"] for row in table(folder.losses)] == ["2", "8", "2", "4"]
    assert folder.picture("runs").is_file() and folder.picture("a_weights").is_file()
    assert "a: 2 of its 4 checkpoints (most_checkpoints=)" in capsys.readouterr().out


def test_the_jobs_of_a_sweep_that_are_done_are_looked_at(tmp_path):
    jobs = [([f"optimizer.lr={lr}"], status) for lr, status in ((0.1, "DONE"), (0.2, "FAILED"), (0.3, "DONE"))]
    sweep = fake_sweep(tmp_path / "sweeps" / "rates", jobs, loss=[1.0, 1.0, 1.0])
    for number in range(3):
        shutil.copytree("outputs/train/b/checkpoints", sweep / str(number) / "checkpoints")
    dynamics(DynamicsConfig(sweep="rates", outputs_dir=str(tmp_path), tokens=0))
    rows = table(sweep / "dynamics" / "losses.csv")
    assert [(row["run"], row["step"]) for row in rows] == [("0.1", "2"), ("0.1", "4"), ("0.3", "2"), ("0.3", "4")]


def test_one_checkpoint_has_numbers_and_no_course(capsys, tmp_path):
    dynamics(DynamicsConfig(run="outputs/train/a/checkpoints/step_00000004", tokens=640, out=str(tmp_path / "o")))
    said = capsys.readouterr().out
    assert "known best: " in said and "learned" not in said
    rows = table(tmp_path / "o" / "matrices.csv")
    assert {row["of"] for row in rows} == {"weight", "gradient", "activation", "OV", "QK"}
    assert not any(row["update_to_weight"] for row in rows)
    one = tmp_path / "one"
    shutil.copytree("outputs/train/a/checkpoints/step_00000008", one / "checkpoints" / "step_00000008")
    dynamics(DynamicsConfig(run=str(one), tokens=0))
    said = capsys.readouterr().out
    assert "one: one checkpoint, so there is how it stands and no course; keep more with callbacks.checkpoints" in said
    assert not (one / "dynamics" / "words.csv").exists() and (one / "dynamics" / "weights.png").is_file()


def test_without_the_data_the_weights_are_shown_and_a_damaged_checkpoint_is_passed_over(capsys, tmp_path):
    run = tmp_path / "outputs" / "train" / "c"
    shutil.copytree("outputs/train/a/checkpoints", run / "checkpoints")
    next((run / "checkpoints" / "step_00000004").glob("tensors_*")).write_bytes(b"x")
    dynamics(DynamicsConfig(run=str(run), outputs_dir=str(tmp_path / "outputs")))
    said = capsys.readouterr().out
    assert "c: its prepared data are not under" in said and "c: step_00000004 is passed over, it is damaged" in said
    assert [row["step"] for row in table(run / "dynamics" / "losses.csv")] == ["2", "6", "8"]
    assert not any(row["loss"] for row in table(run / "dynamics" / "losses.csv"))


def test_what_cannot_be_is_refused_and_leaves_nothing(tmp_path):
    (tmp_path / "empty" / "checkpoints").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"holds no readable checkpoint.*keep more with callbacks\.checkpoints"):
        dynamics(DynamicsConfig(run=str(tmp_path / "empty")))
    assert [path.name for path in (tmp_path / "empty").iterdir()] == ["checkpoints"]
    with pytest.raises(ConfigError, match=r"'block\.7\.residual' is no point of a Transformer"):
        dynamics(DynamicsConfig(run="b", points=["block.7.residual"]))
    with pytest.raises(ConfigError, match=r"one vector a token"):
        dynamics(DynamicsConfig(run="b", points=["block.0.attention.weights"]))
    assert not files("b").path.exists()
    for wrong in ({"tokens": -1}, {"most_checkpoints": 0}, {"min_count": 0}, {"activations": 3}, {"run": " "}):
        with pytest.raises(ConfigError, match=f"{next(iter(wrong))}="):
            DynamicsConfig(**wrong)
