"""The weights of a source in a new model, whole or spread over processes: each process reads its own part alone.

A tokenizer with more tokens than the source's makes the embedding (and the head) grow. The new rows are the mean of the
old ones (Hewitt 2021, "Initializing new word embeddings for pretrained language models"): a row drawn at random can get
a far larger logit than all tokens that the model knows.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from prospero.checkpoints import StoredTensor, laid_out_like
from prospero.checkpoints.source import Source
from prospero.errors import DataError
from prospero.model.adapters.base import Adapter
from prospero.model.base import LanguageModel
from prospero.model.size import PICTURE


class InitialWeights:
    """Fills a model, its adapter applied, with the weights of `source`."""

    def __init__(self, source: Source, adapter: Adapter) -> None:
        self.source, self.adapter = source, adapter

    def describe(self, model: LanguageModel) -> str:
        """Return what the weights are, and how many rows are added for new tokens."""
        source, added = self.source, model.vocab_size - self.source.vocab_size
        rows = f"; {added:,} rows for new tokens are added to its {source.vocab_size:,}, each the mean of those"
        return f"{source.path} ({source.model['name']}, {source.fingerprint[:12]}){rows if added else ''}"

    @torch.no_grad()
    def fill(self, model: LanguageModel) -> None:
        """Read the weights of the source into `model`, laid out as they are there; what the adapter added stays.

        Raises DataError when they do not fit: a tensor missing, one too many, or another shape.
        """
        stored = self.source.weights()
        own = dict([*model.named_parameters(), *model.named_buffers()])  # of several names of a tensor the first
        added = self.adapter.added(own)
        tables = _by_vocabulary(model)
        new_picture = not any(name.startswith(PICTURE) for name in stored)
        for name, tensor in own.items():
            if name in added:
                continue
            found = stored.pop(self.adapter.base_name(name), None)
            if found is None and new_picture and name.startswith(PICTURE):
                continue  # as it was drawn, or read from a vision model's folder
            if found is None:
                raise DataError(f"{self.source.path} does not fit the model its settings describe: it lacks {name}")
            grows = id(tensor) in tables and found.shape[0] == self.source.vocab_size < tensor.shape[0]
            tensor.copy_(_grown(found, tensor) if grows else found.like(tensor))
        others = {self.adapter.base_name(name) for name in model.state_dict()}
        unknown = [name for name in stored if name not in others]
        if unknown:
            raise DataError(f"{self.source.path} holds {unknown[0]}, which the model does not have")


def _by_vocabulary(model: LanguageModel) -> set[int]:
    """Return the ids of the tables with a row for each token: the embedding, and the head."""
    embeddings = [m for m in model.modules() if isinstance(m, nn.Embedding) and m.num_embeddings == model.vocab_size]
    return {id(table) for table in [*(m.weight for m in embeddings), model.output_weight()]}


def _grown(stored: StoredTensor, target: Tensor) -> Tensor:
    """Return the stored rows and, below them, their mean as often as `target` has more rows; laid out as `target`."""
    rows = stored.whole()
    mean = rows.double().mean(0).to(rows.dtype)
    whole: Mapping[str, Tensor] = {"rows": torch.cat([rows, mean.expand(target.shape[0] - len(rows), *mean.shape)])}
    return laid_out_like(whole, {"rows": target})["rows"]
