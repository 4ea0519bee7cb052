"""A teacher: a model that is read and never trained, whole in every process."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from prospero.checkpoints.model_folder import load_model
from prospero.checkpoints.source import Source
from prospero.errors import DataError
from prospero.log import log
from prospero.model.base import LanguageModel
from prospero.model.size import count_parameters


class FrozenTeacher:
    """A model in evaluation mode whose parameters get no gradient; it follows its batches to their device.

    Products are made in `compute_dtype`, as the student's are, and linear layers are kept in it. `vocabulary` is how
    many tokens the tokenizer has: rows of the model beyond are padding, which nobody sees.
    """

    def __init__(self, model: LanguageModel, vocabulary: int, compute_dtype: torch.dtype = torch.float32) -> None:
        self.vocabulary, self.compute_dtype = vocabulary, compute_dtype
        self.model = model.eval().requires_grad_(False)
        for module in model.modules():
            if isinstance(module, nn.Linear):  # autocast would make the same numbers of them in each pass
                module.to(compute_dtype)

    @torch.no_grad()
    def hidden(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the activations that its head reads, [B, T, D]; documents are told apart where it was trained so."""
        ids = inputs["input_ids"]
        if self.model.device != ids.device:
            self.model.to(ids.device)
        documents = {"document_ids": inputs["document_ids"]} if self.model.reads_document_ids else {}
        with self._precision(ids.device):
            return self.model(ids, **documents, logits=False).hidden

    @torch.no_grad()
    def logits(self, hidden: Tensor) -> Tensor:
        """Return the logits [N, vocabulary] of some rows of `hidden` [N, D]."""
        with self._precision(hidden.device):
            return self.model.project(hidden)[:, : self.vocabulary]

    def _precision(self, device: torch.device) -> torch.autocast:
        narrow = self.compute_dtype is not torch.float32
        return torch.autocast(device.type, self.compute_dtype if narrow else torch.bfloat16, enabled=narrow)


def load_teacher(source: Source, compute_dtype: torch.dtype, vocabulary: int) -> FrozenTeacher:
    """Read the weights of `source`; the generator of random numbers stays as it is, so the student starts the same.

    Raises DataError when it is gone, or is another model than when the run began.
    """
    now = Source.open(source.given, Path(source.path), verify=False)
    if now.fingerprint != source.fingerprint:
        raise DataError(
            f"{source.path} is not the teacher it was when the run began; bring it back, or begin a new run in another "
            "run_dir"
        )
    with torch.random.fork_rng([]):
        model = load_model(Path(source.path))[0]
    log.info("teacher: %s (%s, %s parameters)", source.path, source.model["name"], f"{count_parameters(model).total:,}")
    return FrozenTeacher(model, vocabulary, compute_dtype)
