"""Every notebook runs from top to bottom, in its short form."""

import os
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.util import run_sync

from tests.grids import grid

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
LONG = ("first_run", "compare_two_runs")
"""Has no short form; what it shows stands in the others too."""


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.fixture(scope="module")
def kernel(tmp_path_factory) -> Iterator[AsyncKernelManager]:
    """One kernel for all of them, in one folder: what it imports and prepares, it does once."""
    manager = AsyncKernelManager(kernel_name="python3")
    environment = {**os.environ, "NOTEBOOK_SHORT": "1"}
    run_sync(manager.start_kernel)(cwd=str(tmp_path_factory.mktemp("notebooks")), env=environment)
    yield manager
    run_sync(manager.shutdown_kernel)(now=True)


@pytest.mark.processes
@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", grid(NOTEBOOKS, lambda path: path.stem not in LONG), ids=lambda path: path.stem)
def test_it_runs_from_top_to_bottom(path, kernel):
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))  # nothing of the notebook before
    NotebookClient(notebook, km=kernel, timeout=600).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs), "the curve is drawn"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_committed_without_outputs(path):
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in cells)
