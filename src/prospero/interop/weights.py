"""The tensors of a Hugging Face folder, one file or several, read one by one; and their way to our names and back."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prospero.errors import ConfigError, DataError
from prospero.interop.families.family import Family
from prospero.interop.families.rules import Layout, Rule
from prospero.model.transformer import Transformer, TransformerConfig
from prospero.printable import printable

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a folder; DataError that says what to do when there are none."""
    if (folder / INDEX).is_file():
        try:
            names = sorted(set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{folder / INDEX} is damaged ({error}); fetch it again") from error
        if any(not isinstance(name, str) or Path(name).name != name for name in names):
            raise DataError(f"{folder / INDEX} names files outside of its folder; it is not read")
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise DataError(
                f"{folder} lacks {missing[0]}, {len(missing)} of {len(names)} files of weights; fetch it again"
            )
        return [folder / name for name in names]
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    if pickles:
        raise DataError(
            f"{folder} holds its weights as {pickles[0]}, a pickle, which may run any code when it is read; look for a "
            "revision with model.safetensors, or convert it where that is safe: AutoModelForCausalLM.from_pretrained("
            "...).save_pretrained(...)"
        )
    raise DataError(f"{folder} holds no weights: neither {SINGLE} nor {INDEX}")


class StoredWeights:
    """Names of theirs -> tensors, read when they are asked for."""

    def __init__(self, files: Mapping[str, Any], place: Path) -> None:
        self._files, self.place = dict(files), place

    @property
    def names(self) -> set[str]:
        """All names."""
        return set(self._files)

    def read(self, name: str) -> Tensor:
        """Return a tensor."""
        return self._files[name].get_tensor(name)


@contextmanager
def opened(folder: Path, prefix: str) -> Iterator[StoredWeights]:
    """Open the files of a folder; names of a bare model get `prefix`. DataError for a file that is damaged."""
    from safetensors import SafetensorError, safe_open

    with ExitStack() as stack:
        found: dict[str, Any] = {}
        for path in weight_files(folder):
            try:
                file = stack.enter_context(safe_open(str(path), "pt"))
            except (SafetensorError, OSError) as error:
                said = str(error).splitlines()[0]
                raise DataError(f"{path} is damaged, perhaps cut short ({said}); fetch it again") from error
            found |= dict.fromkeys(file.keys(), file)
        yield _Prefixed(found, folder, "" if any(name.startswith(prefix) for name in found) else prefix)


class _Prefixed(StoredWeights):
    def __init__(self, files: Mapping[str, Any], place: Path, prefix: str) -> None:
        heads = ("lm_head.", "embed_out.")
        self._stored = {name if name.startswith(heads) else f"{prefix}{name}": name for name in files}
        super().__init__({name: files[stored] for name, stored in self._stored.items()}, place)

    def read(self, name: str) -> Tensor:
        return self._files[name].get_tensor(self._stored[name])


def to_ours(
    family: Family, config: TransformerConfig, theirs: Mapping[str, Any], shapes: Transformer, stored: StoredWeights
) -> dict[str, Tensor]:
    """Return the weights by our names; `shapes` is our model, on any device. DataError for odd ones, by name.

    A tensor that needs no fold keeps its type.
    """
    wanted = {name: tensor.shape for name, tensor in shapes.state_dict().items()}
    used, state = set(), {}
    for name, ours, rule in _pairs(family, config, wanted):
        used.add(name)
        if name not in stored.names:
            continue
        layout = Layout(config, theirs, tuple(wanted[one][0] for one in ours))
        tensor = stored.read(name)
        if not tensor.is_floating_point():
            raise DataError(f"{stored.place}: {name} is {str(tensor.dtype)[6:]}, no weight that Prospero reads")
        try:
            parts = [part.contiguous() for part in rule.split(tensor, layout)]
        except (RuntimeError, ValueError) as error:
            raise DataError(f"{stored.place}: {name} has the shape {list(tensor.shape)}, which does not fit") from error
        for one, part in zip(ours, parts):
            if part.shape != wanted[one]:
                need = f"; config.json makes {one} {list(wanted[one])} of it"
                raise DataError(f"{stored.place}: {name} has the shape {list(tensor.shape)}{need}")
            state[one] = part
    _check_names(family, config, stored, used)
    return state


def _check_names(family: Family, config: TransformerConfig, stored: StoredWeights, used: set[str]) -> None:
    ignored = {next(rule.theirs for rule in family.rules if rule.ours == ("head",)) + ".weight"}
    surplus = sorted(
        name
        for name in stored.names - used
        if not re.search(family.buffers, name) and not (config.tie_embeddings and name in ignored)
    )
    for what, names in (("lacks", sorted(used - stored.names)), ("holds", surplus)):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            which = ", which the model that config.json describes does not have" if what == "holds" else ""
            shown = printable(", ".join(names[:1]))
            raise DataError(f"{stored.place} {what} {shown}{more}{which}; it is not imported")


def to_theirs(
    family: Family, config: TransformerConfig, theirs: Mapping[str, Any], state: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return the weights `state` by their names, contiguous; zeros where their class has a bias and ours has none."""
    found = {}
    for name, ours, rule in _pairs(family, config, state, theirs):
        tensors = [state[one] if one in state else _zeros(one, state) for one in ours]
        layout = Layout(config, theirs, tuple(tensor.shape[0] for tensor in tensors))
        found[name] = rule.join(tensors, layout).contiguous()
    return found


def _zeros(name: str, state: Mapping[str, Tensor]) -> Tensor:
    weight = state[name.removesuffix("bias") + "weight"]
    return torch.zeros(weight.shape[0], dtype=weight.dtype)


def _pairs(
    family: Family, config: TransformerConfig, have: Mapping[str, Any], theirs: Mapping[str, Any] | None = None
) -> Iterator[tuple[str, list[str], Rule]]:
    """Yield (their name, our names, rule) of each tensor that ours has; with `theirs`, biases too that theirs has."""
    for rule in family.rules:
        for layer in range(config.n_layers) if rule.in_layers else (None,):
            at = "" if layer is None else f"blocks.{layer}."
            for kind in ("weight", "bias"):
                ours = [f"{at}{module}.{kind}" for module in rule.ours]
                there = f"{at}{rule.ours[0]}.weight" in have
                asked = theirs is not None and rule.has_bias is not None and rule.has_bias(theirs)
                if any(name in have for name in ours) or (asked and kind == "bias" and there):
                    yield f"{rule.theirs.format(i=layer)}.{kind}", ours, rule


def check_all_used(family: Family, config: TransformerConfig, state: Mapping[str, Tensor]) -> None:
    """Raise ConfigError when a tensor of ours has no place in `family`; a mistake in the table of families."""
    placed = {one for _, ours, _ in _pairs(family, config, state) for one in ours}
    left = sorted(set(state) - placed)
    if left:
        raise ConfigError(f"{family.architecture} has no place for {left[0]}, so the model cannot be written as one")
