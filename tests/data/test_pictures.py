"""Pictures from files: every kind becomes red, green and blue of 8 bits; what is no picture is one line."""

import struct
import zlib
from collections import Counter

import numpy as np
import pytest

from prospero.data.pictures import read_picture, write_png
from prospero.errors import DataError

Image = pytest.importorskip("PIL.Image")
RED = np.zeros((4, 4, 3), np.uint8)
RED[..., 0] = 200


def saved(tmp_path, picture, name="a.png", **how):
    picture.save(tmp_path / name, **how)
    return tmp_path / name


def test_png_comes_back_as_it_was_and_is_stretched(tmp_path):
    write_png(tmp_path / "a.png", RED)
    assert np.array_equal(read_picture(tmp_path / "a.png", 4, 3), RED)
    assert np.array_equal(read_picture(tmp_path / "a.png", 8, 3), RED[0, 0] * np.ones((8, 8, 1), np.uint8))
    assert read_picture(tmp_path / "a.png", 4, 1).tolist() == np.full((4, 4, 1), 60).tolist()  # 0.299 x 200


def test_kinds_are_converted_and_counted(tmp_path):
    notes = Counter()
    clear = Image.new("RGBA", (4, 4), (200, 0, 0, 0))
    assert read_picture(saved(tmp_path, clear), 4, 3, notes).min() == 255  # nothing of it is seen on white
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([200, 0, 0])
    assert np.array_equal(read_picture(saved(tmp_path, palette, "p.gif"), 4, 3, notes), RED)
    sixteen = Image.fromarray(np.full((4, 4), 257 * 90, np.uint16))
    assert np.unique(read_picture(saved(tmp_path, sixteen, "i.png"), 4, 3, notes)).tolist() == [90]
    cmyk = Image.new("CMYK", (4, 4), (0, 255, 255, 55))
    assert abs(read_picture(saved(tmp_path, cmyk, "c.jpg"), 4, 3, notes).astype(int) - RED).max() < 12
    frames = [Image.new("RGB", (4, 4), colour) for colour in ((200, 0, 0), (0, 200, 0))]
    moving = saved(tmp_path, frames[0], "m.gif", save_all=True, append_images=frames[1:])
    assert np.array_equal(read_picture(moving, 4, 3, notes), RED)
    assert dict(notes) == {
        "pictures with transparency, laid on white": 1,
        "pictures of more than 8 bits a channel, narrowed": 1,
        "pictures of several frames, of which the first was taken": 1,
    }


def bomb(width: int) -> bytes:
    """A PNG of a few bytes that claims width x width pixels."""
    header = struct.pack(">IIBBBBB", width, width, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 64)), (b"IEND", b"")]
    parts = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no picture that can be read"),
        (b"GIF89a", "no picture that can be read|damaged or cut off"),
        (b"not a picture at all", "no picture that can be read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no picture that can be read"),
        (bomb(9000), "9,000 x 9,000 pixels, more than|claims more pixels"),
        (bomb(60000), "claims more pixels"),
    ],
    ids=["empty", "cut header", "text", "postscript", "large", "bomb"],
)
def test_what_is_no_picture_is_refused_in_one_line(tmp_path, content, message):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_picture(tmp_path / "a.png", 4, 3)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "a.png") in str(caught.value)


@pytest.mark.parametrize("kind", ["a.png", "a.jpg", "a.webp", "a.tiff"])
def test_a_file_cut_off_anywhere_is_refused(tmp_path, kind):
    noise = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    content = saved(tmp_path, Image.fromarray(noise), kind).read_bytes()
    for share in (0.2, 0.5, 0.9):
        (tmp_path / kind).write_bytes(content[: int(share * len(content))])
        with pytest.raises(DataError):
            read_picture(tmp_path / kind, 4, 3)


def test_what_is_not_there_or_no_file(tmp_path):
    with pytest.raises(DataError, match="there is no such picture"):
        read_picture(tmp_path / "b.png", 4, 3)
    with pytest.raises(DataError, match="not a regular file"):
        read_picture(tmp_path, 4, 3)
