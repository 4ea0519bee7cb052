"""Every notebook runs from top to bottom, in its short form."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.grids import grid

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
LONG = "first_run"
"""Has no short form; what it shows stands in the others too."""


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.processes
@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", grid(NOTEBOOKS, lambda path: path.stem != LONG), ids=lambda path: path.stem)
def test_it_runs_from_top_to_bottom(path, tmp_path, monkeypatch):
    monkeypatch.setenv("NOTEBOOK_SHORT", "1")  # the kernel is a child of this process
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs), "the curve is drawn"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_committed_without_outputs(path):
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in cells)
