"""Tell what a file really is by its first bytes: archives, pictures and programs are no text, whatever their ending."""

import re

SIGNATURE_BYTES = 512
"""First bytes that `signature` looks at: a block of tar."""

_STARTS = {
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"\x04\x22\x4d\x18": "LZ4",
    b"\x1f\x9d": "a file packed by compress (.Z)",
    b"\xff\x06\x00\x00sNaPpY": "Snappy",
    b"PAR1": "Parquet",
    b"\x89PNG\r\n\x1a\n": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF87a": "a GIF image",
    b"GIF89a": "a GIF image",
    b"%PDF-": "a PDF",
    b"%!PS-Adobe": "PostScript",
    b"{\\rtf1": "a document in Rich Text Format",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an old Office document",
    b"PK\x03\x04": "a zip archive (or an Office document)",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a rar archive",
    b"!<arch>\n": "an ar archive (or a Debian package)",
    b"\x7fELF": "a program",
    b"SQLite format 3\x00": "an SQLite database",
    b"ARROW1\x00": "an Arrow file",
    b"Obj\x01": "an Avro file",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
    b"\x93NUMPY": "a NumPy array",
    b"OggS\x00": "an audio file",
    b"ID3\x03": "an audio file",
    b"ID3\x04": "an audio file",
}
_PATTERNS = {
    re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"): "bzip2",
    re.compile(
        rb"[\x50-\x5f]\x2a\x4d\x18"
    ): "Zstandard",  # a skippable frame (RFC 8878, section 3.1.2), as pzstd writes
    re.compile(rb"07070[127][0-7A-Fa-f]{60}"): "a cpio archive",
    re.compile(rb"RIFF....(WAVE|WEBP|AVI )", re.DOTALL): "a sound or picture",
}


def signature(head: bytes) -> str | None:
    """Return what the first bytes of a file say it is ("gzip", "a PNG image"), or None for anything else."""
    for pattern, name in _PATTERNS.items():
        if pattern.match(head):
            return name
    if _is_tar(head):
        return "a tar archive (unpack it, and give the folder)"
    return next((name for start, name in _STARTS.items() if head.startswith(start)), None)


def _is_tar(head: bytes) -> bool:
    """Return whether the first block adds up as a header of tar does (POSIX.1-1988, and older ones without magic)."""
    block = head[:512]
    stated = re.fullmatch(rb" *([0-7]{1,7})[ \0]*", block[148:156])
    if len(block) < 512 or stated is None:
        return False
    return sum(block) - sum(block[148:156]) + 8 * ord(" ") == int(stated[1], 8)
