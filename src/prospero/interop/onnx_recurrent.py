"""The graph of an LSTM or GRU, built operator by operator: a trace would fix the number of tokens.

The state enters as `past_hidden_<layer>` and, for the LSTM, `past_cell_<layer>` [batch, d_model], zeros at the start of
a text, and leaves as `present_...`.

Shapes: B batch, T time, E embedding, D d_model, V vocabulary, G gates (4 or 3).
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from prospero.model.rnn import RNN

if TYPE_CHECKING:
    import onnx_ir as ir
    from onnx import NodeProto

LSTM_GATES = [0, 3, 1, 2]
"""ONNX's order (input, output, forget, cell) in torch's (input, forget, cell, output)."""
GRU_GATES = [1, 0, 2]
"""ONNX's order (update, reset, new) in torch's (reset, update, new)."""


def recurrent_graph(model: RNN, *, cache: bool, opset: int) -> "ir.Model":
    """Return the graph of `model` (float32, on CPU), its state in and out when `cache`; batch and time are free."""
    import onnx_ir as ir
    from onnx import TensorProto, helper, numpy_helper

    graph = _Graph(model, cache)
    graph.build()
    floats, ids = TensorProto.FLOAT, TensorProto.INT64
    states = [name for name in graph.states if cache]
    inputs = [("input_ids", ids, ["batch", "time"])]
    inputs += [(f"past_{name}", floats, ["batch", model.d_model]) for name in states]
    outputs = [("logits", floats, ["batch", "time", model.vocab_size])]
    outputs += [(f"present_{name}", floats, ["batch", model.d_model]) for name in states]
    proto = helper.make_graph(
        graph.nodes,
        "main_graph",
        [helper.make_tensor_value_info(*item) for item in inputs],
        [helper.make_tensor_value_info(*item) for item in outputs],
        [numpy_helper.from_array(array, name) for name, array in graph.weights.items()],
    )
    built = ir.from_proto(helper.make_model(proto, opset_imports=[helper.make_opsetid("", opset)], ir_version=10))
    assert isinstance(built, ir.Model)
    return built


class _Graph:
    """The nodes and weights of a recurrent model."""

    def __init__(self, model: RNN, cache: bool) -> None:
        self.model, self.cache = model, cache
        self.nodes: list[NodeProto] = []
        self.weights: dict[str, np.ndarray] = {}
        self.states: list[str] = []

    def build(self) -> None:
        """Write down the model from the ids to the logits."""
        model = self.model
        x = self._node("Gather", [self._weight("embedding.weight", model.embedding.weight), "input_ids"])  # [B, T, E]
        x = self._node("Transpose", [x], perm=[1, 0, 2])  # [T, B, E]
        for index, layer in enumerate(model.blocks):
            assert isinstance(layer, nn.LSTM | nn.GRU)
            x = self._layer(x, layer, index)  # [T, B, D]
        x = self._node("Transpose", [x], perm=[1, 0, 2])  # [B, T, D]
        if model.head is not None:
            head = self._weight("head.weight", model.head.weight.T)
        else:
            if model.projection is not None:
                x = self._node("MatMul", [x, self._weight("projection.weight", model.projection.weight.T)])
            head = self._node("Transpose", ["embedding.weight"], perm=[1, 0])
        self._node("MatMul", [x, head], outputs=["logits"])

    def _layer(self, x: str, layer: nn.LSTM | nn.GRU, index: int) -> str:
        """Add one recurrent layer; return its output [T, B, D]."""
        lstm, width = isinstance(layer, nn.LSTM), layer.hidden_size
        gates = LSTM_GATES if lstm else GRU_GATES
        own = dict(layer.named_parameters())
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        w, r, *biases = (_reordered(own[name], gates, width) for name in names)
        weights = [
            self._weight(f"blocks.{index}.weight_ih", w[None]),  # [1, G D, E]
            self._weight(f"blocks.{index}.weight_hh", r[None]),  # [1, G D, D]
            self._weight(f"blocks.{index}.bias", np.concatenate(biases)[None]),  # [1, 2 G D]
        ]
        kinds = [f"hidden_{index}", f"cell_{index}"] if lstm else [f"hidden_{index}"]
        self.states += kinds
        axis = self._weight("layer_axis", np.array([0]))
        starts = [self._node("Unsqueeze", [f"past_{kind}", axis]) for kind in kinds] if self.cache else []
        ends = [f"end_{kind}" for kind in kinds] if self.cache else []
        settings = {"hidden_size": width} | ({} if lstm else {"linear_before_reset": 1})
        # The empty name is ONNX's for an input that is left out: here the lengths of rows.
        y = self._node(layer.__class__.__name__, [x, *weights, "", *starts], outputs=[f"y_{index}", *ends], **settings)
        for kind, end in zip(kinds, ends):
            self._node("Squeeze", [end, axis], outputs=[f"present_{kind}"])
        return self._node("Squeeze", [y, self._weight("direction_axis", np.array([1]))])  # from [T, 1, B, D]

    def _node(self, operator: str, inputs: list[str], outputs: list[str] | None = None, **attributes: Any) -> str:
        """Add a node and return the name of its first output."""
        from onnx import helper

        outputs = outputs or [f"{operator.lower()}_{len(self.nodes)}"]
        self.nodes.append(helper.make_node(operator, inputs, outputs, name=f"node_{len(self.nodes)}", **attributes))
        return outputs[0]

    def _weight(self, name: str, value: Tensor | np.ndarray) -> str:
        """Keep a constant and return its name."""
        array = value.detach().numpy() if isinstance(value, Tensor) else value
        self.weights[name] = np.ascontiguousarray(array)
        return name


def _reordered(parameter: Tensor, gates: list[int], width: int) -> np.ndarray:
    """Return a weight [G D, ...] or bias [G D] of torch with its gates in ONNX's order."""
    array = parameter.detach().numpy()
    return array.reshape(len(gates), width, *array.shape[1:])[gates].reshape(array.shape)
