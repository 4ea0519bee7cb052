"""An ONNX file of ours run by onnxruntime: text continued from a past, and what changed against the model it came from.

One rule serves every model: an output `present_x` is the input `past_x` of the next step. At the start of a text an
axis named `past` has length 0, `batch` that of the batch, and what remains is zeros.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from prospero.model.base import LanguageModel

Past = dict[str, np.ndarray]


class OnnxSession:
    """One file, opened on the CPU; `threads` 0 leaves their number to onnxruntime."""

    def __init__(self, file: Path, *, threads: int = 0) -> None:
        import onnxruntime

        onnxruntime.set_default_logger_severity(3)  # errors; its warnings are about its own optimisations
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session: Any = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self.past_inputs = [item for item in self.session.get_inputs() if item.name.startswith("past_")]
        self.outputs = ["logits", *(item.name.replace("past_", "present_", 1) for item in self.past_inputs)]

    def start(self, batch: int) -> Past:
        """Return the past of `batch` rows before their first token."""
        sizes = {"batch": batch, "past": 0}
        return {
            item.name: np.zeros([sizes[n] if isinstance(n, str) else n for n in item.shape], np.float32)
            for item in self.past_inputs
        }

    def step(self, input_ids: np.ndarray, past: Past) -> tuple[np.ndarray, Past]:
        """Read `input_ids` [B, T] after `past`; return the logits [B, T, V] and the past with these tokens."""
        logits, *presents = self.session.run(self.outputs, {"input_ids": input_ids.astype(np.int64), **past})
        return logits, dict(zip(past, presents))


@torch.inference_mode()
def largest_difference(model: "LanguageModel", file: Path, *, seed: int = 0) -> float:
    """Return the largest difference of a logit between `model` and its file, on random ids: whole, and continued."""
    session = OnnxSession(file)
    generator = torch.Generator().manual_seed(seed)
    time = min(model.max_seq_len, 24)
    ids = torch.randint(model.vocab_size, (2, time), generator=generator)
    expected = model(ids).logits.numpy()
    logits, past = session.step(ids.numpy(), session.start(2))
    worst = float(np.abs(logits - expected).max())
    if past and time > 2:
        _, past = session.step(ids[:, : time // 2].numpy(), session.start(2))
        pieces = []
        for cut in (slice(time // 2, time - 1), slice(time - 1, time)):
            logits, past = session.step(ids[:, cut].numpy(), past)
            pieces.append(logits)
        worst = max(worst, float(np.abs(np.concatenate(pieces, axis=1) - expected[:, time // 2 :]).max()))
    return worst


@torch.inference_mode()
def bits_per_byte(
    logits_of: Callable[[np.ndarray], np.ndarray], rows: Sequence[Sequence[int]], token_bytes: np.ndarray
) -> float:
    """Return the bits that a model needs for each byte of `rows`, texts of token ids.

    `logits_of` are its logits [1, T, V] after ids [1, T]; the first token of a row is given. `token_bytes` [V] is how
    many bytes each id stands for (`Tokenizer.token_bytes`).
    """
    nats, n_bytes = 0.0, 0
    for row in rows:
        ids = np.asarray(row, dtype=np.int64)[None]
        scores, targets = logits_of(ids[:, :-1])[0].astype(np.float64), ids[0, 1:]
        top = scores.max(-1)
        log_sum = top + np.log(np.exp(scores - top[:, None]).sum(-1))
        nats += float((log_sum - scores[np.arange(len(targets)), targets]).sum())
        n_bytes += int(token_bytes[targets].sum())
    return nats / math.log(2) / n_bytes
