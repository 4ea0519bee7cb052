"""Packed files are streams; Zstandard with several frames and a long window too."""

import os

import pytest
import zstandard

from prospero.data.sources.compression import signature
from tests.data.sources.corpora import texts


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
