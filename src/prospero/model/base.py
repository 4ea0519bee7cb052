"""What every language model here is: token ids in, one `ModelOutput` out; never a loss, never a device or a precision.

Legend of shapes, for this folder: B batch, T time, D d_model, N heads, K key/value heads, H head_dim, V vocabulary.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from prospero.model.layers.embedding_noise import with_noise
from prospero.model.layers.head import vocabulary_product
from prospero.model.taps import ModulePoint, Point, Side


@dataclass(slots=True)
class ModelOutput:
    """What a forward pass returns, always with the same fields."""

    hidden: Tensor
    """Activations of the last layer, after the final normalisation, [B, T, D]."""
    logits: Tensor | None = None
    """Scores of the next token, [B, T, V]; None when they were not asked for."""
    cache: Any | None = None
    """The cache given to forward, now holding these tokens too; None when none was given."""


class LanguageModel(nn.Module):
    """The base of all models: an embedding, `blocks`, and a head that `project` applies.

    `forward` may run with `logits=False` and leave the vocabulary product to the loss, which then calls `project`
    on pieces of `hidden`, or reads `output_weight`.
    """

    vocab_size: int
    max_seq_len: int
    d_model: int
    embedding: nn.Embedding
    blocks: nn.ModuleList
    reads_document_ids: bool = False
    """Whether `forward` makes use of document_ids, which are then part of the inputs."""
    image_shape: tuple[int, int, int] | None = None
    """Channels, height and width of the picture that `forward` reads before the text (`images`); None: none."""
    prefix_len: int = 0
    """Positions that a picture takes before the text."""
    attention_choice: str | None = None
    """The attention kernel that the settings name, `auto` where they leave it open; None without attention."""
    embedding_noise: float
    """Noise on the embeddings in training mode, NEFTune's alpha; 0: none. Whoever trains sets it."""
    compute_dtype: torch.dtype
    """What training computes the products in: float32, or the narrow type of a mixed precision. It changes nothing in
    the model; whoever trains sets it, and optimisers with products of their own (muon) follow it."""

    def __init__(self, vocab_size: int, max_seq_len: int, d_model: int) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.max_seq_len = max_seq_len
        self.d_model = d_model
        self.compute_dtype = torch.float32
        self.embedding_noise = 0.0

    def forward(
        self,
        input_ids: Tensor,
        *,
        document_ids: Tensor | None = None,
        cache: Any | None = None,
        logits: bool = True,
    ) -> ModelOutput:
        """Read `input_ids` [B, T]; with a `cache`, as the continuation of the tokens it holds.

        `document_ids` [B, T] numbers the documents packed into a row: a token does not see what precedes its document.
        A model whose settings do not ask for document bounds ignores them. A model with an `image_shape` takes
        `images` [B, C, H, W] (uint8, or float from 0 to 255) too; without them it reads the text alone.
        """
        raise NotImplementedError

    def noisy(self, embedded: Tensor, document_ids: Tensor | None) -> Tensor:
        """Return the embeddings [B, T, D] that blocks read: in training mode with noise, where it is asked for."""
        if self.training and self.embedding_noise:
            return with_noise(embedded, self.embedding_noise, document_ids)
        return embedded

    def project(self, hidden: Tensor) -> Tensor:
        """Return the logits [..., V] of `hidden` [..., D]."""
        return vocabulary_product(hidden, self.output_weight())

    def output_weight(self) -> Tensor:
        """Return the matrix [V, D] of the head (the embedding itself where the two are tied)."""
        raise NotImplementedError

    def new_cache(self, batch_size: int, max_len: int) -> Any:
        """Return an empty cache for `batch_size` rows of at most `max_len` tokens, on the model's device and dtype."""
        raise NotImplementedError

    def described(self, settings: Any) -> Any:
        """Return what the model is built from again: its `settings`, with what building has read from elsewhere."""
        return settings

    def points(self) -> dict[str, Point]:
        """Return the places at which a forward pass can be read and changed, by name, in its order; see hooks.py."""
        return {f"block.{b}.residual": ModulePoint(block, Side.output) for b, block in enumerate(self.blocks)}

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return next(self.parameters()).device
