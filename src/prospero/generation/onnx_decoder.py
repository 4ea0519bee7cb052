"""An exported ONNX file as a decoder, run by onnxruntime (the extra `onnx`).

The file's inputs are `input_ids` [B, T] and what it looks back to, such as `past_key_0` [B, K, P, H]; its outputs are
`logits` [B, T, V] and for each `past_x` a `present_x`, the past of the next step. At the beginning of a text an axis
named `past` has length 0, and what remains is zeros. The file's notes hold what the model is (`prospero.description`),
its tokenizer (`prospero.tokenizer`) and which of its tokens separates documents or stands before every text
(`prospero.special_tokens`), all as JSON. All rows of such a file are equally long, so each row runs by
itself here: a batch is no faster than its rows one after the other.

Shapes: B rows, T time, P tokens held, K key/value heads, H head_dim, V vocabulary.
"""

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
from torch import Tensor

from prospero.data.tokenizer.tokenizer import Tokenizer
from prospero.errors import ConfigError, DataError
from prospero.generation.pictured import NO_PICTURE

DESCRIPTION, TOKENIZER = "prospero.description", "prospero.tokenizer"
SPECIAL_TOKENS = "prospero.special_tokens"
"""Names in the file's metadata."""

State = dict[str, np.ndarray]
"""The keys and values of one row, by the names of the inputs that take them."""


class OnnxDecoder:
    """Rows of an ONNX file; see `decoder.Decoder`."""

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        """Open `path`; ConfigError without onnxruntime, DataError for what is no such file."""
        try:
            import onnxruntime
        except ImportError as error:
            raise ConfigError(f"{path} needs onnxruntime; install it: pip install 'prospero[onnx]'") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or torch.get_num_threads()
        try:
            self.session_of_file = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the library has a class of its own for each reason
            raise DataError(f"{path} is no ONNX model that can be run ({str(error).splitlines()[0][:160]})") from error
        facts = self.session_of_file.get_modelmeta().custom_metadata_map
        if DESCRIPTION not in facts or TOKENIZER not in facts:
            raise DataError(f"{path} was not exported by Prospero: its metadata lack {DESCRIPTION} or {TOKENIZER}")
        self.description: dict[str, Any] = json.loads(facts[DESCRIPTION])
        special: dict[str, str | None] = json.loads(facts.get(SPECIAL_TOKENS, "{}"))
        inner = tokenizers.Tokenizer.from_str(facts[TOKENIZER])
        self.tokenizer = Tokenizer(inner, special.get("eot"), special.get("bos"))
        inputs = self.session_of_file.get_inputs()
        self.past = {node.name: list(node.shape) for node in inputs if node.name.startswith("past_")}
        self.outputs = [node.name for node in self.session_of_file.get_outputs()]
        if not self.past or "logits" not in self.outputs:
            raise DataError(
                f"{path} takes no keys and values, so it cannot go on with a text; export it with its cache"
            )
        grows = any("past" in shape for shape in self.past.values())  # a recurrent state does not
        self.window: int | None = int(self.description["max_seq_len"]) if grows else None
        self.states: list[State] = []

    @property
    def rows(self) -> int:
        """How many rows are in the batch."""
        return len(self.states)

    def session(self) -> AbstractContextManager[Any]:
        """Nothing has to be set."""
        return nullcontext()

    def add(
        self, prompts: Sequence[Sequence[int]], copies: Sequence[int], images: Sequence[np.ndarray] | None = None
    ) -> Tensor:
        """Read each prompt by itself."""
        if images is not None:
            raise ConfigError(NO_PICTURE)
        read = [self._run(prompt, self._empty()) for prompt in prompts]
        self.states += [read[copy][1] for copy in copies]
        return torch.stack([read[copy][0][-1] for copy in copies])

    def step(self, tokens: Tensor) -> Tensor:
        """One token for each row, one row after the other."""
        logits = []
        for row, token in enumerate(tokens.tolist()):
            found, self.states[row] = self._run([token], self.states[row])
            logits.append(found[-1])
        return torch.stack(logits)

    def select(self, rows: Sequence[int]) -> None:
        """Keep the keys and values of `rows`."""
        self.states = [self.states[row] for row in rows]

    def scores(self, ids: Sequence[int]) -> Tensor:
        """One pass over all of `ids`."""
        logits, _ = self._run(ids, self._empty())
        return logits[:-1].log_softmax(dim=-1).gather(1, torch.tensor(list(ids[1:])).unsqueeze(1)).squeeze(1)

    def hidden(self, input_ids: Tensor, document_ids: Tensor | None = None) -> Tensor:
        """The logits themselves, [B, T, V], one row after the other: a file gives nothing earlier."""
        return torch.stack([self._run(row, self._empty())[0] for row in input_ids.tolist()])

    def project(self, hidden: Tensor) -> Tensor:
        """Nothing is left to do."""
        return hidden

    def _run(self, ids: Sequence[int], state: State) -> tuple[Tensor, State]:
        """Return the logits [T, V] after each of `ids`, and what is held then."""
        found = self.session_of_file.run(None, {"input_ids": np.array([list(ids)], dtype=np.int64), **state})
        named = {name: np.asarray(value) for name, value in zip(self.outputs, found)}
        held = {name: named[name.replace("past_", "present_", 1)] for name in self.past}
        return torch.from_numpy(named["logits"][0]).float(), held

    def _empty(self) -> State:
        sizes = {"batch": 1, "past": 0}
        return {
            name: np.zeros([sizes[axis] if isinstance(axis, str) else axis for axis in shape], dtype=np.float32)
            for name, shape in self.past.items()
        }
