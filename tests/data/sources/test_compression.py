"""Packed files are streams; Zstandard with several frames and a long window too."""

import bz2
import gzip
import io
import lzma
import os
import tarfile

import pytest
import zstandard

from prospero.data.sources.signatures import signature
from prospero.errors import DataError
from tests.data.sources.corpora import PACK, texts
from tests.grids import grid


@pytest.mark.parametrize(
    ("head", "name"),
    [(b"\x1f\x8b\x08", "gzip"), (b"BZh91AY&SY", "bzip2"), (b"BZhang wrote", None), (b"text", None), (b"", None)],
)
def test_signature(head, name):
    assert signature(head) == name


def test_zstandard_in_several_frames(tmp_path):
    pack = zstandard.ZstdCompressor().compress
    (tmp_path / "a.txt.zst").write_bytes(pack(b"first ") + pack(b"second"))
    assert texts(tmp_path / "a.txt.zst") == ["first second"]


def test_zstandard_with_a_window_of_a_gigabyte(tmp_path):
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=30)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    text = os.urandom(1000).hex()
    (tmp_path / "a.txt.zst").write_bytes(packer.compress(text.encode()) + packer.flush())
    assert zstandard.get_frame_parameters((tmp_path / "a.txt.zst").read_bytes()).window_size == 1 << 30
    assert texts(tmp_path / "a.txt.zst") == [text]


@pytest.mark.parametrize("ending", PACK)
def test_streams_one_after_another_and_damage_in_the_second(tmp_path, ending):
    path, pack = tmp_path / f"a.txt{ending}", PACK[ending]
    first, second = pack(b"first "), pack(b"second")
    path.write_bytes(first + second)
    assert texts(path) == ["first second"]
    path.write_bytes(first + second + b"\0" * 8)  # padding
    assert texts(path) == ["first second"]
    for damaged in (first + b"C" + second[1:], first + second[:-3], first + second + b"rubbish", first + second[:2]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="damaged, cut off"):
            texts(path)


def test_zstandard_that_is_cut_off_in_a_long_window(tmp_path):
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=30)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    packed = packer.compress(os.urandom(300_000).hex().encode()) + packer.flush()
    (tmp_path / "a.txt.zst").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError, match="ends within a compressed stream"):
        texts(tmp_path / "a.txt.zst")


@pytest.mark.parametrize("number", [0x50, 0x5F])
def test_zstandard_with_skippable_frames(tmp_path, number):
    skippable = bytes([number, 0x2A, 0x4D, 0x18, 4, 0, 0, 0]) + b"abcd"
    pack = zstandard.ZstdCompressor().compress
    path = tmp_path / "a.txt.zst"
    path.write_bytes(skippable + pack(b"first ") + skippable + pack(b"second") + skippable)
    assert texts(path) == ["first second"]
    path.write_bytes(skippable)
    with pytest.raises(DataError, match="gave no text"):
        texts(path)


def tar(format: int) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=format) as archive:
        member = tarfile.TarInfo("t.txt")
        member.size = 9
        archive.addfile(member, io.BytesIO(b"some text"))
    return content.getvalue()


OLD_TAR = bytearray(tar(tarfile.USTAR_FORMAT))
OLD_TAR[257:265] = b"\0" * 8  # before POSIX there was no magic word; only the sum tells
OLD_TAR[148:156] = b"%06o\0 " % (sum(OLD_TAR[:148]) + sum(OLD_TAR[156:512]) + 8 * 32)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (tar(tarfile.USTAR_FORMAT), "a tar archive"),
        (tar(tarfile.GNU_FORMAT), "a tar archive"),
        (tar(tarfile.PAX_FORMAT), "a tar archive"),
        (bytes(OLD_TAR), "a tar archive"),
        (b"070701" + b"0" * 104 + b"t.txt\0", "a cpio archive"),
        (b"!<arch>\nt.txt/          ", "an ar archive"),
        (b"{\\rtf1\\ansi some text}", "a document in Rich Text"),
        (gzip.compress(b"text", mtime=0), "gzip"),
    ],
)
@pytest.mark.parametrize("ending", ["", *PACK])
def test_archives_and_their_like_are_no_text(tmp_path, content, what, ending):
    path = tmp_path / f"a.txt{ending}"
    path.write_bytes(PACK[ending](content) if ending else content)
    with pytest.raises(DataError, match=f"not text, it looks like {what}"):
        texts(path)


@pytest.mark.heavy
@pytest.mark.parametrize("ending", grid(PACK, always=lambda ending: ending in (".gz", ".zst")))
def test_what_unpacks_to_more_than_any_text_is_refused(tmp_path, ending):
    path = tmp_path / f"a.txt{ending}"
    block = b"x" * (1 << 20)
    packers = {
        ".gz": lambda: gzip.GzipFile(path, "wb", 9),
        ".bz2": lambda: bz2.BZ2File(path, "wb"),
        ".xz": lambda: lzma.LZMAFile(path, "wb", preset=0),  # noqa: SIM115
        ".zst": lambda: zstandard.open(path, "wb"),
    }
    with packers[ending]() as packed:
        for _ in range(80):
            packed.write(block)
    with pytest.raises(DataError, match=rf"a\.txt{ending}: its \d+ bytes unpack to more than 67 MB.*raise data"):
        texts(path)
    assert sum(map(len, texts(path, max_unpacking_ratio=None))) == 80 << 20
