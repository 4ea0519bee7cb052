"""Folders of tensors and plain values that are whole, verified, and readable on any number of processes.

    step_00000400/
      tensors_00000_of_00002.safetensors   what rank 0 holds; replicated tensors are written by one rank only
      tensors_00001_of_00002.safetensors
      state.json                           all other values, a tree in which tensors are references
      manifest.json                        step, metrics and the SHA-256 of every file; written last

Needs torch and safetensors, not Lightning. Nothing in a folder is ever executed.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prospero.checkpoints.reading import StoredTensor, laid_out_like, read_folder, read_tensors
    from prospero.checkpoints.writing import FolderWriter

__all__ = ["FolderWriter", "StoredTensor", "laid_out_like", "read_folder", "read_tensors"]


def __getattr__(name: str) -> Any:
    """Import torch only when a part that needs it is asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from prospero.checkpoints import reading, writing

    return getattr(writing if name == "FolderWriter" else reading, name)
