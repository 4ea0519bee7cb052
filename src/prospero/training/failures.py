"""What ends a run from outside (no memory, a full disk, a process that died), as one line that says what to do."""

import re

import torch

from prospero.errors import ConfigError, DataError, ProsperoError
from prospero.paths import disk_is_full
from prospero.runs.folder import RunFolder

_NO_MEMORY = re.compile(
    r"can't allocate memory|not enough memory|out of memory|bad_alloc|bad allocation", re.IGNORECASE
)
_NO_SIZE = re.compile(r"invalid buffer size|Storage size calculation overflowed|size overflow", re.IGNORECASE)
_LOST = re.compile(
    r"Connection (closed|reset|refused)|Broken pipe|Socket (closed|Timeout)|remote process|TCPStore|gloo|ncclRemote",
    re.IGNORECASE,
)


class ProcessLost(ProsperoError):
    """Another process of the run has died without a word."""

    exit_code = 1


def worded(error: BaseException, folder: RunFolder, world_size: int) -> BaseException:
    """Return the error of one line that stands for `error`, or `error` itself when it is of another kind."""
    if disk_is_full(error):
        return DataError(f"the disk that holds {folder.path} is full; free some space, then go on with resume=auto")
    text = str(error)
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and (_NO_MEMORY.search(text) or _NO_SIZE.search(text))
    ):
        what = (text.strip().splitlines() or ["out of memory"])[0][:120]
        return ConfigError(
            f"the run does not fit into memory ({what}); choose a smaller micro_batch_size, seq_len or model, "
            "model.activation_checkpointing=true, or trainer=fsdp on several devices"
        )
    if world_size > 1 and isinstance(error, RuntimeError) and _LOST.search(text):
        return ProcessLost(
            f"another process of the run was lost ({text.strip().splitlines()[0][:99]}); look for what ended it, "
            "then go on from the last checkpoint with resume=auto"
        )
    return error
