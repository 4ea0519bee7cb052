"""One run over its checkpoints: each is read once, alone in memory; what the next one needs of it lies on the disk.

Shapes: C checkpoints, N target tokens of the text.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from prospero.analysis.dynamics.circuits import Circuit, HeadMatrices
from prospero.analysis.dynamics.matrices import MatrixNumbers, matrix_numbers, update_to_weight
from prospero.analysis.dynamics.similarity import Representation
from prospero.analysis.dynamics.text import FixedText
from prospero.analysis.dynamics.weights import attention_places, matrices_of, place_of
from prospero.checkpoints.model_folder import load_model
from prospero.checkpoints.run_checkpoints import Checkpoint
from prospero.errors import DataError
from prospero.log import log
from prospero.model.base import LanguageModel
from prospero.model.hooks import matching, points

WEIGHT, GRADIENT, ACTIVATION, OV, QK = "weight", "gradient", "activation", "OV", "QK"
_WEIGHTS = "weights.safetensors"
_STREAM = ("residual", "output")
"""What stands behind block.<b>. where the vectors are that the next block reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The numbers of one matrix at one checkpoint."""

    step: int
    of: str
    """weight, gradient, activation, OV or QK."""
    name: str
    """Of the parameter, of the point, or of the attention layer."""
    head: int | None = None
    shape: tuple[int, int]
    most_rank: int
    """What its rank cannot pass: its lesser side, and of a circuit head_dim."""
    numbers: MatrixNumbers
    update_to_weight: float | None = None
    """|X - X before| / |X before| against the checkpoint before; None at the first."""
    update_steps: int | None = None
    """Optimiser steps between the two."""
    gradient_to_weight: float | None = None
    """Of a gradient: its norm by that of its weight."""

    @property
    def layer(self) -> int | None:
        """The block it stands in."""
        return place_of(self.name)[0]

    @property
    def kind(self) -> str:
        """What it is, whichever the block: attention.q."""
        return self.of if self.of in (OV, QK) else place_of(self.name)[1]


@dataclass(slots=True, kw_only=True)
class RunStudy:
    """What was found of one run."""

    label: str
    steps: list[int]
    """Of its C checkpoints, rising."""
    tokens: list[int]
    own_losses: list[float | None]
    """What its own validations gave as val/loss, where a checkpoint was validated."""
    vocab_size: int = 0
    rows: list[Row] = field(default_factory=list)
    nats: np.ndarray | None = None
    """float32 [C, N]; None where no text was read."""
    text: FixedText | None = None
    points: list[str] = field(default_factory=list)
    """Where activations were kept."""
    store: Path = Path()
    """The folder of the activations, while the study goes on."""
    notes: list[str] = field(default_factory=list)

    @property
    def losses(self) -> list[float]:
        """Mean nats per token at each checkpoint; [] where no text was read."""
        return [] if self.nats is None else [float(row.mean(dtype=np.float64)) for row in self.nats]

    def activations(self, stage: int, point: str) -> Tensor:
        """Return those of a checkpoint at a point, [n, D], from the disk."""
        return torch.from_numpy(np.load(_file_of(self.store, stage, point)))

    def representation(self, stage: int, point: str) -> Representation:
        """Return the same, ready to be compared."""
        return Representation(self.activations(stage, point))


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is asked of a study."""

    points: Sequence[str] = ()
    """Patterns of points; none: the embeddings, what each block hands on, and what the head reads."""
    device: str = "cpu"


def study_run(
    label: str, checkpoints: Sequence[Checkpoint], text: FixedText | None, store: Path, options: Options
) -> RunStudy:
    """Read `checkpoints` (of rising steps) one after the other; return all but the similarities.

    Each reads `text`; activations are left in `store`, a folder that is made. Raises DataError for a damaged one.
    """
    study = RunStudy(
        label=label,
        steps=[checkpoint.step for checkpoint in checkpoints],
        tokens=[checkpoint.tokens for checkpoint in checkpoints],
        own_losses=[checkpoint.value("val/loss") for checkpoint in checkpoints],
        text=text,
        store=store,
    )
    store.mkdir(parents=True)
    nats = []
    for stage, checkpoint in enumerate(checkpoints):
        started = time.perf_counter()
        model, _, _ = load_model(checkpoint, device=options.device)
        study.vocab_size = model.vocab_size
        study.rows += _weight_rows(study, stage, model)
        study.rows += _gradient_rows(study, checkpoint)
        if text is not None and model.image_shape is not None:
            study.notes.append(f"{label}: the model reads pictures, so no text was read: its weights alone are shown")
            study.text = text = None
        if text is not None:
            study.points = _points_of(model, options.points)
            reading = text.read(model, study.points)
            nats.append(reading.nats)
            for point, rows in reading.activations.items():
                np.save(_file_of(store, stage, point), rows.numpy())
            study.rows += _activation_rows(study, stage)
        _keep_weights(store, model)
        seconds = time.perf_counter() - started
        log.info("%s, step %d: %d of %d (%.1f s)", label, checkpoint.step, stage + 1, len(checkpoints), seconds)
    study.nats = np.stack(nats) if nats else None
    if not any(row.of == GRADIENT for row in study.rows):
        study.notes.append(
            f"{label}: its checkpoints hold no gradients; train with callbacks.checkpoints.gradients=true to see them"
        )
    return study


def _points_of(model: LanguageModel, patterns: Sequence[str]) -> list[str]:
    if patterns:
        return matching(model, patterns)
    return [name for name in points(model) if (p := place_of(name))[0] is None or p[1] in _STREAM]


def _weight_rows(study: RunStudy, stage: int, model: LanguageModel) -> Iterator[Row]:
    """Yield the rows of every matrix of the weights and of every circuit of the heads."""
    parameters = dict(model.named_parameters())
    before = None if stage == 0 else _KeptWeights(study.store)
    since = None if stage == 0 else study.steps[stage] - study.steps[stage - 1]
    step = study.steps[stage]
    for name, matrix in matrices_of(parameters).items():
        moved = None if before is None else update_to_weight(before.read(name).flatten(1), matrix.cpu())
        yield Row(step=step, of=WEIGHT, name=name, shape=_shape(matrix), most_rank=min(matrix.shape),
                  numbers=_numbers(matrix), update_to_weight=moved, update_steps=since)  # fmt: skip
    for place in attention_places(model):
        earlier = None if before is None else place.matrices(before.read)
        now = place.matrices(lambda name: parameters[name].detach().cpu())
        for of, head, circuit in now.all():
            moved = None if earlier is None else circuit.update_from(_circuit(earlier, of, head))
            wide = now.q.shape[1]
            yield Row(step=step, of=of, name=place.name, head=head, shape=(wide, wide), numbers=circuit.numbers(),
                      most_rank=min(now.head_dim, wide), update_to_weight=moved, update_steps=since)  # fmt: skip


def _circuit(heads: HeadMatrices, of: str, head: int) -> Circuit:
    return heads.ov(head) if of == OV else heads.qk(head)


def _gradient_rows(study: RunStudy, checkpoint: Checkpoint) -> Iterator[Row]:
    """Yield the rows of the gradients that a checkpoint keeps, by the parameters of training; none without any."""
    kept, weights = checkpoint.gradients() or {}, checkpoint.model_state()
    for name, stored in kept.items():
        if len(stored.shape) < 2:
            continue
        gradient = stored.whole().flatten(1).float()
        if not torch.isfinite(gradient).all():
            study.notes.append(f"{study.label}: the gradient of {name} at step {checkpoint.step} is not finite")
            continue
        length = torch.linalg.vector_norm(weights[name].whole().float())
        numbers = _numbers(gradient)
        share = numbers.frobenius_norm / float(length) if length > 0 else None
        yield Row(step=checkpoint.step, of=GRADIENT, name=name, shape=_shape(gradient), numbers=numbers,
                  most_rank=min(gradient.shape), gradient_to_weight=share)  # fmt: skip


def _activation_rows(study: RunStudy, stage: int) -> Iterator[Row]:
    """Yield the rows of the activations just read: of [n, D], centred for the rank and the condition number."""
    for point in study.points:
        now = study.activations(stage, point)
        numbers = matrix_numbers(now - now.mean(dim=0))
        moved = None if stage == 0 else update_to_weight(study.activations(stage - 1, point), now)
        since = None if stage == 0 else study.steps[stage] - study.steps[stage - 1]
        yield Row(step=study.steps[stage], of=ACTIVATION, name=point, shape=_shape(now), most_rank=min(now.shape),
                  numbers=numbers, update_to_weight=moved, update_steps=since)  # fmt: skip


def _numbers(matrix: Tensor) -> MatrixNumbers:
    return matrix_numbers(matrix.float())


def _shape(matrix: Tensor) -> tuple[int, int]:
    return matrix.shape[0], matrix.shape[1]


def _file_of(store: Path, stage: int, point: str) -> Path:
    return store / f"{stage:04d}.{point}.npy"


def _keep_weights(store: Path, model: LanguageModel) -> None:
    """Put the weights where the next checkpoint finds them, in the place of those before."""
    state = {name: p.detach().cpu().contiguous() for name, p in model.named_parameters() if p.dim() >= 2}
    save_file(state, str(store / _WEIGHTS))


class _KeptWeights:
    """Weights on the disk, read one by one."""

    def __init__(self, store: Path) -> None:
        self._file = safe_open(str(store / _WEIGHTS), framework="pt").__enter__()
        self._names = set(self._file.keys())

    def read(self, name: str) -> Tensor:
        """Return the weight of this name; DataError where the checkpoints are of different models."""
        if name not in self._names:
            raise DataError(f"the checkpoints are of different models: only one of them has {name}")
        return self._file.get_tensor(name)
