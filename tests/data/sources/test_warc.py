"""WARC written here and by warcio: pages and texts are taken, all else is counted, damage is one line."""

import gzip
import io
import zlib

import pytest

from prospero.data.sources.files import FilesConfig
from prospero.errors import DataError
from tests.data.sources.corpora import read

PAGE = "<html><head><title>T</title></head><body><p>schön</p></body></html>"


def record(kind: str, block: bytes, content_type: str = "application/http; msgtype=response", **fields: str) -> bytes:
    named = {"WARC-Type": kind, "Content-Type": content_type, "Content-Length": str(len(block)), **fields}
    head = "WARC/1.0\r\n" + "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in named.items())
    return head.encode() + b"\r\n" + block + b"\r\n\r\n"


def response(body: bytes, status: str = "200 OK", content_type: str = "text/html", **fields: str) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n"
    head += "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return head.encode() + b"\r\n" + body


def found(path, **settings) -> list[tuple[str, str]]:
    return [(document.id, document.text) for document in read(path, **settings)]


def error(path, **settings) -> str:
    with pytest.raises(DataError) as caught:
        read(path, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def test_pages_and_texts_are_taken_and_the_rest_is_counted(tmp_path):
    page, latin = PAGE.encode(), PAGE.encode("latin-1")
    records = [
        record("warcinfo", b"software: x\r\n", "application/warc-fields"),
        record("request", b"GET / HTTP/1.1\r\n\r\n"),
        record("response", response(page)),
        record("response", response(latin, content_type="text/html; charset=ISO-8859-1")),
        record("response", response(b"<meta charset=latin-1>" + latin)),
        record("response", response(page, status="404 Not Found")),
        record("response", response(b"\x89PNG", content_type="image/png")),
        record("response", response(chunked(page, 7), Transfer_Encoding="chunked")),
        record("response", response(page, Transfer_Encoding="chunked")),
        record("response", response(gzip.compress(page), Content_Encoding="gzip")),
        record("response", response(page, Content_Encoding="gzip")),
        record("response", response(zlib.compress(page), Content_Encoding="deflate")),
        record("response", response(zlib.compress(page)[2:-4], Content_Encoding="deflate")),
        record("response", response(b"???", Content_Encoding="br")),
        record("response", response(gzip.compress(b"x" * 99)[:-9], Content_Encoding="gzip")),
        record("response", b"no http"),
        record("conversion", b"plain", "text/plain"),
        record("resource", page, "text/html", WARC_Truncated="length"),
        record("metadata", b""),
        record("revisit", b""),
        record("strange", b""),
    ]
    plain = tmp_path / "a.warc"
    plain.write_bytes(b"".join(records))
    packed = tmp_path / "b.warc.gz"
    packed.write_bytes(b"".join(map(gzip.compress, records)))
    for path in (plain, packed):
        source = FilesConfig(path=str(path)).build()
        documents = [(document.id, document.text) for document in source.documents()]
        texts = {5: f"<meta charset=latin-1>{PAGE}", 17: "plain"}
        taken = (3, 4, 5, 8, 9, 10, 11, 12, 13, 17, 18)
        assert documents == [(f"{path.name}#{n}", texts.get(n, PAGE)) for n in taken]
        assert source.notes == {
            "WARC records left out: warcinfo": 1,
            "WARC records left out: request": 1,
            "WARC records left out: metadata": 1,
            "WARC records left out: revisit": 1,
            "WARC records left out: of no known kind": 1,
            "WARC records left out: HTTP status other than 200": 1,
            "WARC records left out: neither HTML nor plain text": 1,
            "WARC records left out: their content does not unpack": 2,
            "WARC records left out: responses without HTTP": 1,
            "pages that their crawler cut off, taken as they are": 1,
        }


def test_a_file_that_is_cut_off_anywhere_is_one_line(tmp_path):
    path = tmp_path / "a.warc"
    first, second = record("conversion", b"one", "text/plain"), record("metadata", b"not wanted")
    whole = first + second + record("response", response(b"x"))
    ends = [0, len(first), len(first) + len(second), len(whole)]
    between = {cut for end in ends for cut in range(end - 4, end + 1)}  # a record has ended, or its blank lines are cut
    for cut in range(1, len(whole), 3):
        path.write_bytes(whole[:cut])
        if cut not in between:
            assert error(path).startswith(str(path)), cut
    packed = tmp_path / "a.warc.gz"
    packed.write_bytes(gzip.compress(whole)[:-20])
    assert error(packed).startswith(f"{packed}: damaged or cut off behind its record ")


def test_what_is_no_warc_or_has_a_wrong_length(tmp_path):
    path = tmp_path / "a.warc"
    path.write_bytes(b"plain text\n")
    assert "record 1 is damaged, or this is no WARC file (it begins with b'plain text" in error(path)
    path.write_bytes(record("conversion", b"text", "text/plain", Content_Length="2"))
    assert "record 2 is damaged" in error(path)
    path.write_bytes(record("conversion", b"text", "text/plain", Content_Length="-2"))
    assert "record 1 has no sound Content-Length ('-2')" in error(path)
    path.write_bytes(b"WARC/1.0\r\n" + b"X: y\r\n" * 20_000)
    assert "its header does not end within 65536 bytes" in error(path)
    path.write_bytes(b"WARC/1.0\r\n" + b"x" * 200_000)
    assert "its header does not end within 65536 bytes" in error(path)


def test_long_records_and_payloads_that_unpack_too_far_are_left_out_and_counted(tmp_path):
    path = tmp_path / "a.warc"
    bomb = response(gzip.compress(b" " * 10_000), Content_Encoding="gzip")
    path.write_bytes(
        record("conversion", b"x" * 5000, "text/plain")
        + record("response", bomb)
        + record("conversion", b"y", "text/plain")
    )
    source = FilesConfig(path=str(path), max_document_bytes=1000).build()
    assert [document.id for document in source.documents()] == ["a.warc#3"]
    assert source.notes == {
        "pages left out: longer than four times data.max_document_bytes": 1,
        "WARC records left out: their content does not unpack": 1,
    }


def test_what_warcio_writes_is_read(tmp_path):
    warcio = pytest.importorskip("warcio", reason="needs prospero[dev]")
    from warcio.statusandheaders import StatusAndHeaders
    from warcio.warcwriter import WARCWriter

    assert warcio
    for name, packed in (("a.warc", False), ("a.warc.gz", True)):
        with open(tmp_path / name, "wb") as file:
            writer = WARCWriter(file, gzip=packed)
            writer.write_record(writer.create_warcinfo_record(name, {"software": "tests"}))
            for number in range(3):
                headers = StatusAndHeaders(
                    "200 OK", [("Content-Type", "text/html; charset=utf-8")], protocol="HTTP/1.0"
                )
                payload = io.BytesIO(f"{PAGE}{number}".encode())
                uri = f"http://example.com/{number}"
                writer.write_record(writer.create_warc_record(uri, "response", payload=payload, http_headers=headers))
        assert found(tmp_path / name) == [(f"{name}#{n + 2}", f"{PAGE}{n}") for n in range(3)]


def test_identity_says_that_records_are_read_now(tmp_path):
    path = tmp_path / "a.warc"
    path.write_bytes(record("conversion", b"x", "text/plain"))
    assert FilesConfig(path=str(path)).build().identity()["records"] == "warc"
