"""Pictures from files, safely: sizes are bounded before anything is unpacked, and every fault is one line.

Whatever the file holds (grey, palette, CMYK, transparency, 16 bits, several frames) becomes [H, W, C] of uint8: turned
as its EXIF says, transparency on white, the first frame, stretched to a square by bicubic interpolation, as PaliGemma
reads pictures (Beyer et al. 2024, arXiv:2407.07726). Needs Pillow.
"""

import struct
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prospero.errors import ConfigError, DataError

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""What is read: formats of pixels alone, none that a program interprets."""
MOST_PIXELS = 2**26
"""Width x height of a picture at most, 8,192 x 8,192: a file of a few kilobytes may claim any number."""
WHITE = (255, 255, 255, 255)


def read_picture(path: Path, size: int, channels: int, notes: Counter[str] | None = None) -> np.ndarray:
    """Return the picture, uint8 [size, size, channels]; what was changed on the way is counted in `notes`.

    Raises DataError, one line with the path, for a file that does not open.
    """
    Image = _pillow()
    notes = Counter() if notes is None else notes
    if not path.is_file():
        raise DataError(f"{path}: {'not a regular file' if path.exists() else 'there is no such picture'}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as opened:
                width, height = opened.size
                if width * height > MOST_PIXELS:
                    raise DataError(f"{path}: {width:,} x {height:,} pixels, more than {MOST_PIXELS:,} in all")
                if _frames(opened) > 1:
                    notes["pictures of several frames, of which the first was taken"] += 1
                opened.load()
                pixels = _squared(opened, size, channels, notes)
    except DataError:
        raise
    except PermissionError:
        raise DataError(f"{path}: no permission to read; change its mode or its owner") from None
    except Image.UnidentifiedImageError:
        raise DataError(f"{path}: no picture that can be read; {', '.join(FORMATS)} are") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"{path}: claims more pixels than {MOST_PIXELS:,}") from None
    except (OSError, SyntaxError, ValueError, struct.error, EOFError, IndexError, MemoryError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path}: damaged or cut off ({reason[:100]})") from None
    return pixels


def _frames(opened: "Image") -> int:
    """Return how many frames a picture has; a second one is looked for, as formats of one frame have no number."""
    try:
        opened.seek(1)
    except EOFError:
        return 1
    finally:
        opened.seek(0)
    return 2


def _squared(opened: "Image", size: int, channels: int, notes: Counter[str]) -> np.ndarray:
    from PIL import Image, ImageOps

    picture = ImageOps.exif_transpose(opened)
    if picture.mode.startswith("I") or picture.mode == "F":
        notes["pictures of more than 8 bits a channel, narrowed"] += 1
        picture = Image.fromarray(_narrowed(np.asarray(picture)))
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        notes["pictures with transparency, laid on white"] += 1
        above = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", above.size, WHITE), above)
    picture = picture.convert("RGB" if channels == 3 else "L")
    if picture.size != (size, size):
        picture = picture.resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(picture, dtype=np.uint8).reshape(size, size, channels)


def _narrowed(values: np.ndarray) -> np.ndarray:
    """Return 8 bits of 16 (or of numbers from 0 to 1)."""
    if values.dtype.kind == "f":
        return (np.nan_to_num(values.astype(np.float64)).clip(0, 1) * 255).round().astype(np.uint8)
    return (values.astype(np.int64).clip(0, 65535) / 257).round().astype(np.uint8)


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write uint8 [H, W, C] as a PNG."""
    Image = _pillow()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(path, format="PNG")


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise ConfigError("pictures need the package pillow: pip install 'prospero[images]'") from error
    return Image
