"""`to=onnx`: a model as one file that onnxruntime (and other readers of ONNX) runs, with all that it takes to write text.

The file's own notes hold the description of the model (`prospero.description`, JSON) and the tokenizer
(`prospero.tokenizer`, a tokenizer.json), and nothing of this machine.
"""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prospero.errors import ConfigError
from prospero.interop.onnx_recurrent import recurrent_graph
from prospero.interop.onnx_transformer import OPSET, transformer_graph
from prospero.log import log
from prospero.model.rnn import RNN
from prospero.model.transformer import Transformer
from prospero.paths import fsync_file, fsync_folder

if TYPE_CHECKING:
    import onnx_ir as ir

    from prospero.data.tokenizer.tokenizer import Tokenizer
    from prospero.model.base import LanguageModel

DESCRIPTION_KEY, TOKENIZER_KEY = "prospero.description", "prospero.tokenizer"
LARGEST_SINGLE_FILE = 3 * 2**29
"""Bytes of weights (1.5 GiB) above which they lie in a file of their own: protobuf ends at 2 GiB."""
LARGEST_DIFFERENCE = 1e-3
"""Between a logit of the model and of its float32 file; more is a fault of the export, and nothing is written."""


class Quantize(Enum):
    """Kind of number in which the matrices are stored."""

    none = "none"
    int8 = "int8"


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxExport:
    """What was written."""

    files: list[Path]
    difference: float
    """Largest difference of a logit against the model, measured with onnxruntime on random ids."""
    products_in_int8: int
    """Matrices stored in 8 bits."""


def export_onnx(
    model: "LanguageModel",
    tokenizer: "Tokenizer | None",
    description: Mapping[str, Any],
    out: Path,
    *,
    cache: bool = True,
    quantize: Quantize = Quantize.none,
) -> OnnxExport:
    """Write `model` to `out`, whole or not at all, after comparing the file's logits with the model's.

    `description` is that of `describe_model`. With `cache` the past goes in and out. Weights above 1.5 GiB go to
    `<out>.data` beside it. Raises ConfigError for a model or a place that cannot be, and where the extra is missing.
    """
    check_onnx(model, out, quantize)
    model = model.float().eval()
    assert isinstance(model, Transformer | RNN)
    if isinstance(model, Transformer):
        graph = transformer_graph(model, cache=cache)
    else:
        graph = recurrent_graph(model, cache=cache, opset=OPSET)
    return write_graph(graph, model, tokenizer, description, out, quantize)


def check_onnx(model: "LanguageModel", out: Path, quantize: Quantize = Quantize.none) -> None:
    """Raise ConfigError, before anything is computed, for what `export_onnx` cannot do."""
    import importlib.util

    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"to=onnx needs {', '.join(missing)}, which is not installed: pip install 'prospero[onnx]'")
    if not isinstance(model, Transformer | RNN):
        raise ConfigError(f"to=onnx knows transformer, lstm and gru; this model is a {type(model).__name__}")
    if quantize is Quantize.int8 and isinstance(model, RNN):
        raise ConfigError("quantize=int8 is for transformers, and this model is recurrent; leave it out")
    for path in (out, data_file(out)):
        if path.exists():
            raise ConfigError(f"{path} exists already; choose another out=, or remove it")


def data_file(out: Path) -> Path:
    """Return where the weights lie that do not fit into `out` itself."""
    return out.with_name(f"{out.name}.data")


def write_graph(
    graph: "ir.Model",
    model: "LanguageModel",
    tokenizer: "Tokenizer | None",
    description: Mapping[str, Any],
    out: Path,
    quantize: Quantize,
) -> OnnxExport:
    """Finish a graph, compare it with `model`, and move it to `out`; see `export_onnx`."""
    import onnx_ir as ir

    from prospero.interop.onnx_int8 import quantize_products
    from prospero.interop.onnx_session import largest_difference

    _forget_where_it_was_made(graph)
    products = quantize_products(graph) if quantize is Quantize.int8 else 0
    graph.producer_name = "prospero"
    graph.metadata_props[DESCRIPTION_KEY] = json.dumps(dict(description))
    if tokenizer is not None:
        graph.metadata_props[TOKENIZER_KEY] = tokenizer.inner.to_str(pretty=False)
    weights = sum(value.const_value.nbytes for value in graph.graph.initializers.values() if value.const_value)
    apart = data_file(out).name if weights > LARGEST_SINGLE_FILE else None
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent))
    try:
        ir.save(graph, folder / out.name, external_data=apart)
        difference = largest_difference(model, folder / out.name)
        if products == 0 and not difference < LARGEST_DIFFERENCE:
            raise RuntimeError(f"the ONNX graph is wrong: its logits differ by {difference:.1e}; nothing was written")
        files = _publish(folder, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    log.info("%s: logits within %.1e of the model's (onnxruntime, random ids)", out, difference)
    return OnnxExport(files=files, difference=difference, products_in_int8=products)


def _publish(folder: Path, out: Path) -> list[Path]:
    """Move what is in `folder` beside `out`, the weights first: a file that is there is complete."""
    files = [out.with_name(path.name) for path in sorted(folder.iterdir(), reverse=True)]
    for path in files:
        os.chmod(folder / path.name, 0o644)
        fsync_file(folder / path.name)
        os.replace(folder / path.name, path)
    fsync_folder(out.parent)
    return files[::-1]


def _forget_where_it_was_made(graph: "ir.Model") -> None:
    """Remove the exporter's notes (stack traces with paths of this machine) and give axes and weights plain names."""
    import onnx_ir as ir

    graph.metadata_props.clear()
    graph.doc_string = graph.graph.doc_string = None
    graph.graph.metadata_props.clear()
    graph.graph.name = "main_graph"
    axes = _axis_names(graph)
    values = [*graph.graph.inputs, *graph.graph.initializers.values()]
    for node in ir.traversal.RecursiveGraphIterator(graph.graph):
        node.metadata_props.clear()
        node.doc_string = None
        values += node.outputs
    for value in values:
        value.metadata_props.clear()
        value.doc_string = None
        if value.shape is not None:
            value.shape = ir.Shape([_renamed(size, axes) for size in value.shape])
    for value in list(graph.graph.initializers.values()):
        if value.name and value.name.startswith("model."):
            value.name = value.name.removeprefix("model.")


def _axis_names(graph: "ir.Model") -> dict[str, str]:
    """Return what the exporter calls each free axis -> batch, time or past, as read from the inputs."""
    first, *pasts = graph.graph.inputs
    assert first.shape is not None
    names = {str(first.shape[0]): "batch", str(first.shape[1]): "time"}
    for value in pasts:
        if value.shape is not None and len(value.shape) == 4:
            names[str(value.shape[2])] = "past"
    return names


def _renamed(size: Any, axes: Mapping[str, str]) -> Any:
    """Return a fixed size as it is and a free one, which may be a sum of others, by our names."""
    return size if isinstance(size, int) else re.sub(r"\w+", lambda word: axes.get(word[0], word[0]), str(size))
