"""Who may import whom: the walls of the house, held by walking the imports."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "prospero"
FILES = sorted(SOURCE.rglob("*.py"))
ROOMS = {"model", "objective", "optim"}
INNER = {"training", "evaluation", "analysis", "serve", "interop", "generation", "data", "commands"}


def imports(path: Path) -> set[str]:
    """Names of all modules imported anywhere in a file, in full."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def tops(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports(path)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_walls(path):
    place = path.relative_to(SOURCE)
    room = place.parts[0]
    names, top = imports(path), tops(path)
    if room in ROOMS:
        assert not top & {"lightning", "hydra", "omegaconf", "transformers", "wandb"}, f"{place} imports {top}"
        inner = {name for name in names if name.startswith("prospero.") and name.split(".")[1] in INNER}
        assert not inner, f"{place} imports {inner}"
    if top & {"hydra", "omegaconf"}:
        assert room == "configuration" or str(place) == "cli.py", place
    if "lightning" in top:
        assert room in {"training", "commands"} or str(place) == "data/datamodule.py", place
    if room == "generation":
        assert not {name for name in names if name.startswith(("prospero.training", "prospero.commands"))}, place
    if room in {"data", "training", "generation"}:
        assert not {name for name in names if name.startswith("prospero.commands")}, place


def test_there_is_no_utils():
    assert not [path for path in FILES if path.stem in {"utils", "common", "helpers", "misc"}]
