"""Matrices of an ONNX graph in 8 bits: one scale for each block of a column, activations in 8 bits as well.

The operator is onnxruntime's own (MatMulNBits of `com.microsoft`, accuracy_level 4), so such a file runs there only.
The embedding stays in float32: a look-up reads one row.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx_ir as ir

BLOCK = 32
"""Weights that share a scale; a power of two from 16 on."""
INT8_ACTIVATIONS = 4
"""onnxruntime's accuracy_level that computes the products in 8 bits."""


def quantize_products(model: "ir.Model") -> int:
    """Replace every product with a constant matrix of `model` by its 8-bit form; return how many there were."""
    import onnx_ir as ir

    replaced = 0
    for node in list(model.graph):
        matrix = _constant_matrix(node) if node.op_type == "MatMul" else None
        if matrix is None:
            continue
        name = f"int8_{replaced}"
        packed, scales = pack(matrix)
        constants = []
        for kind, array in (("weight", packed), ("scales", scales)):
            tensor = ir.tensor(array, name=f"{name}.{kind}")
            shape = ir.Shape(array.shape)
            value = ir.Value(name=tensor.name, shape=shape, type=ir.TensorType(tensor.dtype), const_value=tensor)
            model.graph.register_initializer(value)
            constants.append(value)
        attributes = {"K": matrix.shape[0], "N": matrix.shape[1], "bits": 8, "block_size": BLOCK}
        new = ir.node(
            "MatMulNBits",
            [node.inputs[0], *constants],
            {**attributes, "accuracy_level": INT8_ACTIVATIONS},
            domain="com.microsoft",
            name=name,
        )
        output, old = new.outputs[0], node.outputs[0]
        output.name, output.shape, output.type = old.name, old.shape, old.type
        model.graph.insert_before(node, new)
        ir.convenience.replace_all_uses_with(old, output, replace_graph_outputs=True)
        model.graph.remove(node, safe=True)
        replaced += 1
    model.graph.opset_imports["com.microsoft"] = 1
    _drop_unused(model)
    return replaced


def pack(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 [N, K / BLOCK, BLOCK] with 128 for zero, and scales [N, K / BLOCK], of a matrix [K, N]."""
    width, columns = matrix.shape
    padded = np.pad(matrix, ((0, -width % BLOCK), (0, 0)))
    blocks = padded.T.reshape(columns, -1, BLOCK).astype(np.float32)
    scales = np.abs(blocks).max(axis=-1) / 127
    steps = np.rint(blocks / np.where(scales == 0, 1, scales)[..., None])
    return (steps + 128).astype(np.uint8), scales


def _constant_matrix(node: "ir.Node") -> np.ndarray | None:
    """Return the constant [K, N] that a product multiplies by, a transposed initializer included."""
    value = node.inputs[1]
    producer = None if value is None else value.producer()
    turned = producer is not None and producer.op_type == "Transpose"
    if turned and producer is not None:
        value = producer.inputs[0]
    if value is None or value.const_value is None or len(value.const_value.shape) != 2:
        return None
    array = value.const_value.numpy()
    return array.T if turned else array


def _drop_unused(model: "ir.Model") -> None:
    """Remove the transpositions and float matrices that nothing reads any more."""
    for node in reversed(list(model.graph)):
        if not any(output.uses() or output.is_graph_output() for output in node.outputs):
            model.graph.remove(node, safe=True)
    for name, value in list(model.graph.initializers.items()):
        if not value.uses():
            del model.graph.initializers[name]
