"""`to=onnx`: a model as one file that onnxruntime (and other readers) runs, with all that it takes to write text.

The file's own notes hold the description of the model (`prospero.description`, JSON), the tokenizer
(`prospero.tokenizer`, a tokenizer.json) and which of its tokens separates documents and which, if any, stands before
every text (`prospero.special_tokens`, JSON with `eot` and `bos`), and nothing of this machine.
"""

import importlib.util
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from prospero import __version__
from prospero.errors import ConfigError
from prospero.generation.validation_text import find_validation_text
from prospero.interop.formats import Exported
from prospero.interop.onnx_int8 import quantize_products
from prospero.interop.onnx_recurrent import recurrent_graph
from prospero.interop.onnx_session import OnnxSession, bits_per_byte, largest_difference
from prospero.interop.onnx_transformer import OPSET, transformer_graph
from prospero.interop.output import check_free, new_files
from prospero.interop.settings import ExportConfig, ExportDtype, Quantize
from prospero.model.rnn import RNN
from prospero.model.transformer import Transformer

if TYPE_CHECKING:
    import onnx_ir as ir

    from prospero.model.base import LanguageModel

DESCRIPTION_KEY, TOKENIZER_KEY = "prospero.description", "prospero.tokenizer"
SPECIAL_KEY = "prospero.special_tokens"
LARGEST_SINGLE_FILE = 3 * 2**29
"""Bytes of weights (1.5 GiB) above which they lie in a file of their own: protobuf ends at 2 GiB."""
LARGEST_DIFFERENCE = 1e-3
"""Between a logit of the model and of its float32 file; more is a fault of the export, and nothing is written."""


def write_onnx(exported: Exported, out: Path, settings: ExportConfig) -> str:
    """Write the model to `out`, whole or not at all, after comparing the file's logits with the model's."""
    model = exported.model
    _check(model, out, settings)
    graph = graph_of(model, cache=settings.cache)
    if settings.quantize is Quantize.int8:
        quantize_products(graph)
    _sign(graph, exported)
    with new_files(out) as folder:
        save(graph, folder / out.name)
        difference = largest_difference(model, folder / out.name)
        if settings.quantize is Quantize.none and not difference < LARGEST_DIFFERENCE:
            raise RuntimeError(f"the ONNX graph is wrong: its logits differ by {difference:.1e}; nothing was written")
        files = " and ".join(sorted(file.name for file in folder.iterdir()))
        cost = _cost(exported, folder / out.name, settings) if settings.quantize is Quantize.int8 else ""
    kind = "float32" if settings.quantize is Quantize.none else f"matrices in 8 bits ({cost})"
    return f"{files}, {kind}, logits within {difference:.1e} of the model's (onnxruntime, random ids)"


def _cost(exported: Exported, file: Path, settings: ExportConfig) -> str:
    """Return what the file loses on the run's own validation text, in words."""
    text, data = None, Path(settings.outputs_dir, "data")
    if exported.tokenizer is not None:
        fingerprint = exported.description["facts"].get("data_fingerprint")
        text = find_validation_text(data, fingerprint, exported.tokenizer)
    if text is None:
        return f"what it costs is not known: the run's prepared data are not in {data}"
    window = exported.model.max_seq_len
    rows = [row for start in range(0, len(text.ids), window) if len(row := text.ids[start : start + window + 1]) > 1]
    before = bits_per_byte(lambda ids: exported.model(torch.from_numpy(ids)).logits.numpy(), rows, text.token_bytes)
    session = OnnxSession(file)
    after = bits_per_byte(lambda ids: session.step(ids, session.start(1))[0], rows, text.token_bytes)
    change = f"{before:.4f} -> {after:.4f} ({100 * (after / before - 1):+.2f}%)"
    return f"bits per byte {change} on {len(text.ids) - 1:,} tokens of validation"


def graph_of(model: "LanguageModel", *, cache: bool) -> "ir.Model":
    """Return the graph of a model (float32, on the CPU), its past in and out when `cache`; batch and time are free."""
    if isinstance(model, Transformer):
        graph = transformer_graph(model, cache=cache)
    else:
        assert isinstance(model, RNN)
        graph = recurrent_graph(model, cache=cache, opset=OPSET)
    _forget_where_it_was_made(graph)
    return graph


def save(graph: "ir.Model", file: Path) -> None:
    """Write a graph; weights above 1.5 GiB to `<file>.data` beside it."""
    import onnx_ir as ir

    constants = [value.const_value for value in graph.graph.initializers.values()]
    large = sum(constant.nbytes for constant in constants if constant is not None) > LARGEST_SINGLE_FILE
    ir.save(graph, file, external_data=f"{file.name}.data" if large else None)


def _check(model: "LanguageModel", out: Path, settings: ExportConfig) -> None:
    """Raise ConfigError, before anything is computed, for what cannot be."""
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"to=onnx needs {', '.join(missing)}, which is not installed: pip install 'prospero[onnx]'")
    if not isinstance(model, Transformer | RNN):
        raise ConfigError(f"to=onnx knows transformer, lstm and gru; this model is a {type(model).__name__}")
    if model.image_shape is not None:
        raise ConfigError(
            "to=onnx writes models of text alone, and this one has model.prefix.kind=image; export it with "
            "to=safetensors"
        )
    if settings.dtype not in (ExportDtype.keep, ExportDtype.float32):
        raise ConfigError(
            f"dtype={settings.dtype.value}: to=onnx writes float32; leave dtype= out, or set quantize=int8"
        )
    if settings.quantize is Quantize.int8 and isinstance(model, RNN):
        raise ConfigError("quantize=int8 is for transformers, and this model is recurrent; leave it out")
    if out.suffix != ".onnx":
        raise ConfigError(f"out={out}: to=onnx writes a file; give it a name that ends in .onnx")
    for path in (out, out.with_name(f"{out.name}.data")):
        check_free(path)


def _sign(graph: "ir.Model", exported: Exported) -> None:
    """Put into the file's notes what it takes to write text with it."""
    graph.metadata_props[DESCRIPTION_KEY] = json.dumps(dict(exported.description["model"]))
    if exported.tokenizer is not None:
        graph.metadata_props[TOKENIZER_KEY] = exported.tokenizer.inner.to_str(pretty=False)
        special = {"eot": exported.tokenizer.eot_token, "bos": exported.tokenizer.bos_token}
        graph.metadata_props[SPECIAL_KEY] = json.dumps(special)


def _forget_where_it_was_made(graph: "ir.Model") -> None:
    """Remove the exporter's notes (stack traces with paths of this machine) and give axes and weights plain names."""
    import onnx_ir as ir

    graph.producer_name, graph.producer_version = "prospero", __version__
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
