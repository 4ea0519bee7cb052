"""A part, or a verb, is the four edits that CONTRIBUTING.md shows: made in a copy of the repository and used there."""

import csv
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parent.parent
REGISTRY = "src/prospero/registry.py"
EDIT = re.compile(r"^(\d)\. (.+?):\n\n   ```\w+\n(.*?)^   ```$", re.DOTALL | re.MULTILINE)


def shown(title: str) -> list[tuple[str, str]]:
    """Return (what precedes it, code) of the numbered edits below a title of CONTRIBUTING.md."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    section = re.split(r"^##+ ", text.partition(f" {title}\n")[2], flags=re.MULTILINE)[0]
    found = EDIT.findall(section)
    assert [number for number, _, _ in found] == ["1", "2", "3", "4"], title
    return [(words, textwrap.dedent(code)) for _, words, code in found]


TITLES = ["An optimiser", "A loss", "A metric of validation", "Adding a verb: the same four edits"]


def named(words: str) -> list[str]:
    return re.findall(r"`([^`]+)`", words)


def edit(copy: Path, title: str) -> None:
    """Make the four edits below a title in `copy`: three new files, and an entry of the registry."""
    for words, code in shown(title):
        names = named(words)
        if REGISTRY in names:
            table = {"VERBS": "VERBS: dict[str, Verb] = {\n"}.get(names[0], f'    "{names[0]}": {{\n')
            source = (copy / REGISTRY).read_text()
            assert source.count(table) == 1
            (copy / REGISTRY).write_text(source.replace(table, table + textwrap.indent(code, "        ")))
        else:
            path = copy / names[0]
            assert not path.exists(), "it would be an edit of something else"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(code)


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of what runs, with the edits, and a text to train on."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("src", "conf"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "train.py", folder)
    for title in TITLES:
        edit(folder, title)
    lines = [f"The {number}th line says that {number} plus {number} is {2 * number}.\n" for number in range(300)]
    (folder / "text.txt").write_text("".join(lines))
    return folder


DATA = ["data=files", "data.path=text.txt", "tokenizer=byte", "split=tail", "dedup=none", "cleaning=none"]
SMALL = ["model=tiny", "seq_len=32", "global_batch_size=4", "callbacks=[checkpoints]", "schedule=constant"]
SMALL += ["trainer.accelerator=cpu", "trainer.precision=float32", "trainer.log_every_steps=1"]


def run(copy: Path, *command: str) -> str:
    own = {key: value for key, value in os.environ.items() if not key.startswith("PROSPERO_")}
    environment = own | {"PYTHONPATH": str(copy / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *command], cwd=copy, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.processes
def test_a_run_uses_the_optimiser_the_loss_and_the_metric(copy):
    parts = ["optimizer=sign_sgd", "optimizer.lr=0.002", "loss=[cross_entropy,miss]", "metrics=[loss,confidence]"]
    run(copy, "train.py", *DATA, *SMALL, *parts, "monitor=val/confidence", "max_steps=2", "run_dir=run")
    result = json.loads((copy / "run" / "result.json").read_text())
    assert (result["objective_name"], result["objective_direction"]) == ("val/confidence", "maximize")
    assert 0 < result["objective"] == result["val/confidence"] < 1
    with open(copy / "run" / "metrics.csv", newline="") as file:
        first = next(csv.DictReader(file))
    total = float(first["train/loss/cross_entropy"]) + float(first["train/loss/miss"])
    assert float(first["train/loss"]) == pytest.approx(total) and 0.9 < float(first["train/loss/miss"]) < 1
    assert float(first["train/lr"]) == 0.002
    assert "/schema/optimizer/sign_sgd@optimizer" in (copy / "run" / "config.yaml").read_text()


@pytest.mark.processes
def test_the_verb_is_a_command(copy):
    size = len((copy / "text.txt").read_bytes())
    counted = run(copy, "-m", "prospero", "count", *DATA, "per_split=true", "outputs_dir=counted").splitlines()
    numbers = dict(line.removesuffix(" tokens").split() for line in counted)
    assert list(numbers) == ["train", "val"]
    # A token for each byte, one before each split, one at the end of the document, which the split has cut.
    assert sum(int(number.replace(",", "")) for number in numbers.values()) == size + 3


@pytest.mark.parametrize("title", TITLES)
def test_the_test_that_is_shown_holds(title, copy, monkeypatch, request):
    """The new module stands in its place among ours, which are the same as the copy's."""
    (part, _), _, _, (test, source) = shown(title)
    path = named(part)[0]
    module_name = ".".join(Path(path).relative_to("src").with_suffix("").parts)
    spec = importlib.util.spec_from_file_location(module_name, copy / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, module_name, module)
    spec.loader.exec_module(module)
    names: dict = {}
    exec(compile(source, named(test)[0], "exec"), names)
    tests = [found for name, found in names.items() if name.startswith("test_")]
    assert len(tests) == 1
    wanted = tests[0].__code__.co_varnames[: tests[0].__code__.co_argcount]
    tests[0](**{name: request.getfixturevalue(name) for name in wanted})
