"""`to=safetensors`: the weights by Prospero's own names, as one file, or as a model folder that every verb opens."""

import json
import shutil
from pathlib import Path

from torch import Tensor

from prospero.checkpoints.model_folder import save_model_folder
from prospero.interop.formats import Exported
from prospero.interop.output import check_free, new_file, new_folder
from prospero.interop.precision import cast
from prospero.interop.settings import ExportConfig


def write_safetensors(exported: Exported, out: Path, settings: ExportConfig) -> str:
    """Write one file where `out` ends in .safetensors (its metadata describe the model), else a model folder."""
    state = cast(unshared(exported.model.state_dict()), settings.dtype)
    description, facts = exported.description["model"], exported.description["facts"]
    if out.suffix == ".safetensors":
        from safetensors.torch import save_file

        with new_file(out) as file:
            save_file(state, str(file), metadata={"format": "pt", "prospero": json.dumps(description)})
        return f"{len(state)} tensors by Prospero's names"
    check_free(out)
    with new_folder(out) as folder:
        shutil.rmtree(folder)
        save_model_folder(folder, state, exported.tokenizer, description, facts=facts)
    return "a model folder of Prospero"


def unshared(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a state on the CPU, contiguous; of several names of one tensor the first."""
    first: dict[tuple[int, tuple[int, ...]], str] = {}
    for name, tensor in state.items():
        first.setdefault((tensor.data_ptr(), tuple(tensor.shape)), name)
    return {name: state[name].detach().cpu().contiguous() for name in first.values()}
