"""The names of a run's files stand in one place, and reading a run needs no torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from prospero.runs.folder import RunFolder

SOURCE = Path(__file__).parents[2] / "src" / "prospero"
RUN = RunFolder(Path("run"))
PLACES = [name for name, member in vars(RunFolder).items() if isinstance(member, property) and "holds" not in name]
NAMES = {getattr(RUN, place).name for place in PLACES} - {"tokenizer.json", "receipt.json", ".lock"}
"""Of these three, each is a file of other folders as well: of a tokenizer, of prepared data, of a cache."""
WORDS = {
    "adapter",
    "model",
    "checkpoints",
    "wandb",
    "tensorboard",
    "evaluations",
    "analyses",
    "dynamics",
    "tokenizer_report",
}
"""Of these, each is a word of the settings or a verb too; as a file it follows a slash."""
OWN = {"runs/folder.py", "model/numerics.py"}
"""The place itself; a file in the user's own cache."""


def quoted_names(path):
    """Names of a run's files among the texts of a source file: alone, or after a slash."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    after_slash = {
        node.right for node in ast.walk(tree) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)
    }
    texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return [
        f"{path.name}:{node.lineno} {node.value}"
        for node in texts
        if node.value in NAMES and (node.value not in WORDS or node in after_slash)
    ]


def test_the_names_of_a_run_are_quoted_nowhere_else():
    found = {path.relative_to(SOURCE).as_posix(): quoted_names(path) for path in SOURCE.rglob("*.py")}
    assert len(found["runs/folder.py"]) >= len(NAMES)
    odd = {name: lines for name, lines in found.items() if lines and name not in OWN}
    assert odd == {}, "take these from prospero.runs.folder.RunFolder"


def test_every_place_lies_in_the_folder_and_is_its_own():
    found = [getattr(RUN, place) for place in PLACES] + [RUN.stacks(0), RUN.stacks(1)]
    assert all(RUN.path in path.parents for path in found)
    assert len(set(found)) == len(found)
    assert RUN.stacks(3) == Path("run/stacks_rank3.txt")


def test_what_it_holds(tmp_path):
    run = RunFolder(tmp_path)
    assert not run.holds_a_run and not run.holds_weights
    run.config.write_text("")
    run.model.mkdir()
    assert run.holds_a_run and run.holds_weights


@pytest.mark.processes
@pytest.mark.parametrize("room", ["runs.find", "runs.report", "runs.environment", "runs.result", "runs.metrics"])
def test_a_run_is_read_without_torch(room):
    code = f"import sys; import prospero.{room}; print([n for n in ('torch', 'lightning') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=180, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.processes
def test_the_environment_is_written_without_torch(tmp_path):
    code = (
        "import sys; from pathlib import Path; from prospero.runs.environment import write_environment\n"
        f"write_environment(Path({str(tmp_path)!r})); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=180, check=True)
    assert done.stdout.strip() == "False"
    assert RunFolder(tmp_path).environment.is_file()
