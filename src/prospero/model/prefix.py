"""A picture before the text: patches, an encoder, a projector to the width of the text model.

The prefix attends to all of itself, the text to the prefix and to what precedes it, as in PaliGemma (Beyer et al. 2024,
arXiv:2407.07726); encoder and projector as in LLaVA (Liu et al. 2023, arXiv:2304.08485). The encoder is a Vision
Transformer (Dosovitskiy et al. 2020, arXiv:2010.11929) of this house's own blocks, or one of Hugging Face's.

Shapes: B batch, C channels, P positions of the prefix (patches), E width of the encoder, D d_model of the text.
"""

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from prospero import registry
from prospero.errors import ConfigError
from prospero.model.layers.attention import Shared
from prospero.model.layers.block import Block
from prospero.model.layers.norms import LayerNorm, RMSNorm, make_norm

if TYPE_CHECKING:
    from prospero.model.transformer import TransformerConfig


class PrefixKind(Enum):
    """What stands before the text."""

    none = "none"
    image = "image"


@dataclass(kw_only=True, slots=True)
class PrefixConfig:
    """What stands before the text, and how it becomes embeddings."""

    kind: PrefixKind = PrefixKind.none
    """none, or image: each sequence begins with a picture."""
    image_size: int = 32
    """Height and width of the picture, in pixels: those of data.image_size."""
    patch_size: int = 8
    """Height and width of a patch, in pixels; the picture becomes (image_size / patch_size)^2 positions."""
    channels: int = 3
    """3: red, green and blue; 1: grey."""
    d_model: int = 64
    """Width of the encoder."""
    n_layers: int = 2
    """Blocks of the encoder, each attending to all of the picture."""
    n_heads: int = 2
    """Attention heads of the encoder."""
    encoder: str | None = None
    """Folder of a vision model of Hugging Face's (ViT, CLIP, SigLIP) in place of the own encoder, whose width and depth
    are then those of the folder."""
    encoder_config: str = ""
    """The vision model's configuration as JSON; read from the folder where it is empty, and kept with the model."""
    frozen: bool = False
    """Leave the vision model as it is and train the projector (and the text) alone."""
    projector_layers: int = 1
    """Layers of the projector: 1 (linear), or 2 with a gelu between."""
    blind: bool = False
    """A control: the picture is replaced by an even grey before it is read, in training too."""

    def __post_init__(self) -> None:
        for name in ("image_size", "patch_size", "d_model", "n_heads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"prefix.{name}={getattr(self, name)} is impossible; choose at least 1")
        if self.n_layers < 0:
            raise ConfigError(f"prefix.n_layers={self.n_layers} is impossible; choose 0 (patches alone) or more")
        if self.channels not in (1, 3):
            raise ConfigError(f"prefix.channels={self.channels} is impossible; choose 3 (colour) or 1 (grey)")
        if self.projector_layers not in (1, 2):
            raise ConfigError(f"prefix.projector_layers={self.projector_layers} is impossible; choose 1 or 2")
        if self.encoder is None and self.image_size % self.patch_size:
            raise ConfigError(
                f"prefix.patch_size={self.patch_size} does not divide prefix.image_size={self.image_size}; choose one "
                "that does"
            )
        if self.encoder is None and self.d_model % self.n_heads:
            raise ConfigError(
                f"prefix.n_heads={self.n_heads} does not divide prefix.d_model={self.d_model}; choose another"
            )
        if self.encoder is None and self.frozen:
            raise ConfigError(
                "prefix.frozen=true would keep an encoder of random weights; it is for prefix.encoder=<folder of a "
                "vision model>"
            )
        if self.encoder is not None and not self.encoder.strip():
            raise ConfigError("prefix.encoder= is empty; give the folder of a vision model, or leave it out")


def check_prefix(c: "TransformerConfig") -> None:
    """Raise ConfigError for settings of a text model that a picture before it does not go with."""
    if c.prefix.kind is PrefixKind.none:
        usual = PrefixConfig()
        for name in PrefixConfig.__slots__:
            if getattr(c.prefix, name) != getattr(usual, name):
                value = getattr(c.prefix, name)
                raise ConfigError(f"prefix.{name}={value} is for prefix.kind=image; with kind=none it would do nothing")
        return
    odd = {
        "document_attention=true": c.document_attention,
        f"windows={c.windows}": any(c.windows),
        f"lookback={c.lookback.value}": c.lookback.value != "none",
    }
    for setting, is_set in odd.items():
        if is_set:
            raise ConfigError(f"prefix.kind=image is seen by every token of one text; leave {setting} out")


def image_prefix(c: "TransformerConfig") -> "ImagePrefix | None":
    """Return what turns a picture into embeddings before the text of the model `c`; None where it reads none."""
    return None if c.prefix.kind is PrefixKind.none else ImagePrefix(c)


class ImagePrefix(nn.Module):
    """images [B, C, H, W] -> embeddings [B, P, D]."""

    def __init__(self, c: "TransformerConfig") -> None:
        super().__init__()
        p = c.prefix
        self.described = c
        """The text model's settings, with the vision model's own configuration where one was read."""
        self.image_shape = (p.channels, p.image_size, p.image_size)
        self.blind, self.frozen = p.blind, p.frozen
        if p.encoder is None:
            self.encoder: nn.Module = PatchEncoder(c)
            width, self.length = p.d_model, (p.image_size // p.patch_size) ** 2
        else:
            found: Any = registry.bridge("vision_encoder")(p.encoder, p.encoder_config, self.image_shape)
            self.encoder, width, self.length = found, found.width, found.length
            self.described = replace(c, prefix=replace(p, encoder_config=found.config_text))
        if p.frozen:
            self.encoder.requires_grad_(False)
        layers: list[nn.Module] = [nn.Linear(width, c.d_model)]
        if p.projector_layers == 2:
            layers += [nn.GELU(), nn.Linear(c.d_model, c.d_model)]
        self.projector = nn.Sequential(*layers)
        draw_plain(self.projector, c.init_std)

    def forward(self, images: Tensor) -> Tensor:
        """Return the embeddings that stand before the text; values 0 to 255 are read as -1 to 1."""
        if tuple(images.shape[1:]) != self.image_shape:
            raise ValueError(f"a picture of {tuple(images.shape[1:])}, and the model reads {self.image_shape}")
        pixels = images.to(next(self.projector.parameters()).dtype) / 127.5 - 1.0
        if self.blind:
            pixels = torch.zeros_like(pixels)
        return self.projector(self.encoder(pixels))

    def train(self, mode: bool = True) -> "ImagePrefix":
        """Switch to training; a frozen vision model computes as it does in use, without dropout."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self


class PatchEncoder(nn.Module):
    """Pixels [B, C, H, W] -> states [B, P, E]: patches in rows from the top left, learned positions, blocks, a norm."""

    def __init__(self, c: "TransformerConfig") -> None:
        super().__init__()
        p, own = c.prefix, encoder_settings(c)
        self.patch_size = p.patch_size
        self.patches = nn.Linear(p.channels * p.patch_size**2, p.d_model)
        self.positions = nn.Embedding((p.image_size // p.patch_size) ** 2, p.d_model)
        self.blocks = nn.ModuleList(Block(own, layer) for layer in range(p.n_layers))
        self.norm = make_norm(c.norm, p.d_model, c.norm_eps, c.has_bias("norm"))
        draw_plain(self, c.init_std)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the state of each patch."""
        batch, channels, height, width = pixels.shape
        size = self.patch_size
        cut = pixels.view(batch, channels, height // size, size, width // size, size)
        x = self.patches(cut.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, channels * size * size))  # [B, P, E]
        x = x + self.positions.weight
        everywhere = Shared(rotation=None, mask=None, causal=False, starts=None, cache=None)
        for block in self.blocks:
            x = block(x, everywhere)
        return self.norm(x)


def encoder_settings(c: "TransformerConfig") -> "TransformerConfig":
    """Return the settings of the encoder's blocks: the text model's kind of block, with sizes of its own."""
    p = c.prefix
    sizes = {"n_layers": max(1, p.n_layers), "d_model": p.d_model, "n_heads": p.n_heads}
    even = 2 * -(-p.d_model // p.n_heads // 2)
    return replace(
        c, **sizes, n_kv_heads=None, head_dim=even, d_ff=None, rotary_dim=None, windows=[],
        rope_scaling=type(c.rope_scaling)(), prefix=PrefixConfig(),
    )  # fmt: skip


@torch.no_grad()
def draw_plain(module: nn.Module, std: float) -> None:
    """Draw the weights of linear layers so that activations keep their size, those of tables with `std`."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=part.in_features**-0.5)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.Embedding):
            nn.init.normal_(part.weight, std=std)
        elif isinstance(part, RMSNorm | LayerNorm):
            part.reset_parameters()


def prefix_mask(time: int, n_prefix: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return [T, T]: 0 where a query may look and -inf elsewhere; the first `n_prefix` see each other, then causal."""
    allowed = torch.ones(time, time, dtype=torch.bool, device=device).tril()
    allowed[:n_prefix, :n_prefix] = True
    return torch.zeros(time, time, dtype=dtype, device=device).masked_fill_(~allowed, float("-inf"))
