"""Vision models of Hugging Face's (ViT, CLIP, SigLIP and others with patches) as encoders of a picture before a text.

Only weights in safetensors are read, and no code of the folder's is run. The configuration is kept with our model as
text, so that a trained model comes back when the folder is gone.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from prospero.errors import ConfigError, DataError

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
HALF = [0.5, 0.5, 0.5]
"""Mean and deviation of values from 0 to 1 where the folder says none: as ours, -1 to 1."""


class VisionEncoder(nn.Module):
    """Pixels from -1 to 1, [B, C, H, W] -> states after the last layer, a patch each, [B, P, E]."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.config_text = json.dumps(config, sort_keys=True)
        transformers = _transformers()
        described = transformers.AutoConfig.for_model(**config["model"])
        self.inner: Any = transformers.AutoModel.from_config(described, **_without_pooler(described))
        mean, deviation = (torch.tensor(config[name]).view(-1, 1, 1) for name in ("mean", "deviation"))
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("deviation", deviation, persistent=False)
        self.width = int(described.hidden_size)
        self.length = (int(described.image_size) // int(described.patch_size)) ** 2

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the states of the patches, without that of a class token before them."""
        values = ((pixels + 1) / 2 - self.mean) / self.deviation
        states = self.inner(pixel_values=values).last_hidden_state
        return states[:, states.shape[1] - self.length :]


def load_vision_encoder(folder: str, config_text: str, shape: tuple[int, int, int]) -> VisionEncoder:
    """Return the encoder of a folder with its weights, or that of a kept configuration, whose weights come later.

    Raises ConfigError where it reads pictures of another shape [C, H, W], DataError where it cannot be read.
    """
    config = json.loads(config_text) if config_text else _described(Path(folder).expanduser())
    model = config["model"]
    theirs = (model.get("num_channels", 3), model["image_size"], model["image_size"])
    if theirs != shape:
        raise ConfigError(
            f"prefix.encoder={folder} reads {theirs[0]} channels of {theirs[1]} x {theirs[1]} pixels; give "
            f"prefix.channels={theirs[0]} and prefix.image_size={theirs[1]} (and the same to data)"
        )
    try:
        encoder = VisionEncoder(config)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise DataError(f"{folder} cannot be built as a vision model: {_first_line(error)}") from error
    if not config_text and not any(parameter.is_meta for parameter in encoder.parameters()):
        _read_weights(encoder, Path(folder).expanduser())
    _leave_unused_out(encoder, shape)
    return encoder


def _described(folder: Path) -> dict[str, Any]:
    """Return what of a folder's configuration is kept: the vision model's, and how values are normalised."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        config = config.get("vision_config", config)
        place = folder / PREPROCESSOR
        processor = json.loads(place.read_text(encoding="utf-8")) if place.is_file() else {}
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"prefix.encoder={folder} cannot be read as a vision model: {_first_line(error)}") from error
    plain = {name: value for name, value in config.items() if not name.startswith("_")}
    try:
        whole = _transformers().AutoConfig.for_model(**plain).to_dict()
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"prefix.encoder={folder}: {_first_line(error)}") from error
    sizes = {name: whole.get(name) for name in ("image_size", "patch_size", "hidden_size")}
    if not all(isinstance(size, int) for size in sizes.values()):
        raise DataError(f"prefix.encoder={folder}: config.json describes no vision model of square patches")
    return {
        "model": {**plain, **sizes},
        "mean": processor.get("image_mean", HALF),
        "deviation": processor.get("image_std", HALF),
    }


def _without_pooler(described: Any) -> dict[str, Any]:
    return {"add_pooling_layer": False} if described.model_type in ("vit", "deit", "dinov2", "beit") else {}


def _read_weights(encoder: VisionEncoder, folder: Path) -> None:
    """Load the folder's weights; DataError when some that the encoder has are not there."""
    if not list(folder.glob("*.safetensors")):
        raise DataError(f"prefix.encoder={folder} has no weights in safetensors; save it with save_pretrained")
    inner = encoder.inner
    try:
        read, said = type(inner).from_pretrained(
            folder, config=inner.config, use_safetensors=True, local_files_only=True, output_loading_info=True,
            **_without_pooler(inner.config),
        )  # fmt: skip
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(f"prefix.encoder={folder}: its weights cannot be read ({_first_line(error)})") from error
    missing = sorted(said["missing_keys"]) or sorted(map(str, said["mismatched_keys"]))
    if missing:
        raise DataError(f"prefix.encoder={folder} lacks {missing[0]} of {type(inner).__name__}")
    inner.load_state_dict(read.float().state_dict())


def _leave_unused_out(encoder: VisionEncoder, shape: tuple[int, int, int]) -> None:
    """Freeze the parameters that the states do not depend on (heads of classification): nothing would train them."""
    parameters = list(encoder.parameters())
    with torch.random.fork_rng([]):
        pixels = torch.zeros(1, *shape, device=parameters[0].device)
        used = torch.autograd.grad(encoder(pixels).sum(), parameters, allow_unused=True)
    for parameter, gradient in zip(parameters, used):
        parameter.requires_grad_(gradient is not None)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ConfigError(
            "prefix.encoder= is a vision model of Hugging Face's and needs the package transformers: "
            "pip install 'prospero[hub]'"
        ) from error
    return transformers
