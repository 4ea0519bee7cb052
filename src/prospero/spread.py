"""Tensors and modules that several processes hold together, told from plain ones without importing what makes them.

torch's DTensor and FSDP2 bring the compiler and SymPy with them: a third of all imports before a first step, and a run
of one process has neither. Nothing can be one of them before their modules are imported.
"""

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.distributed.fsdp import FSDPModule
    from torch.distributed.tensor import DTensor
    from typing_extensions import TypeIs


def is_spread(tensor: Any) -> "TypeIs[DTensor]":
    """Whether it is a DTensor: one tensor of several processes."""
    made_by = sys.modules.get("torch.distributed.tensor")
    return made_by is not None and isinstance(tensor, made_by.DTensor)


def is_sharded_module(module: Any) -> "TypeIs[FSDPModule]":
    """Whether FSDP2 gathers the parameters of a module when it is used."""
    made_by = sys.modules.get("torch.distributed.fsdp")
    return made_by is not None and isinstance(module, made_by.FSDPModule)
