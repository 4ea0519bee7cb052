"""The main text of pages, and the encoding that a page is in."""

import importlib.metadata
import importlib.util

import pytest

from prospero.data.sources import web_pages
from prospero.data.sources.files import FilesConfig
from prospero.data.sources.reading import EncodingErrors
from prospero.data.sources.web_pages import Html
from prospero.errors import ConfigError, DataError
from tests.data.sources.corpora import read
from tests.data.sources.test_warc import record, response

WORDS = "The old lighthouse stood on the cliff, and its keeper counted the ships that passed. "
PAGE = (
    "<html><head><title>Light</title>{meta}</head><body><nav><a href='/'>Home</a> <a href='/b'>Buy now</a></nav>"
    "<article><h1>The keeper</h1><p>{words}schön.</p><p>{words}</p></article>"
    "<footer>Cookies and imprint</footer></body></html>"
)
needs_trafilatura = pytest.mark.skipif(importlib.util.find_spec("trafilatura") is None, reason="needs prospero[web]")


def page(meta: str = "") -> str:
    return PAGE.format(meta=meta, words=WORDS * 3)


@needs_trafilatura
@pytest.mark.heavy
def test_the_main_text_of_files_and_of_records(tmp_path):
    (tmp_path / "a.html").write_text(page())
    (tmp_path / "b.txt").write_text("<p>left as it is</p>")
    (tmp_path / "c.html").write_text("<html><body></body></html>")
    (tmp_path / "d.htm").write_bytes(page('<meta charset="latin-1">').encode("latin-1"))
    source = FilesConfig(path=str(tmp_path), html=Html.main_text).build()
    documents = {document.id: document.text for document in source.documents()}
    assert list(documents) == ["a.html", "b.txt", "d.htm"]
    assert documents["a.html"] == documents["d.htm"]
    assert "schön." in documents["a.html"] and documents["a.html"].count(WORDS.strip()) == 6
    assert not any(word in documents["a.html"] for word in ("Buy now", "Cookies", "<"))
    assert documents["b.txt"] == "<p>left as it is</p>"
    assert source.notes == {"pages left out: no main text was found": 1}
    warc = tmp_path / "w.warc"
    warc.write_bytes(record("response", response(page().encode())) + record("conversion", b"a <b> c", "text/plain"))
    found = [document.text for document in read(warc, html=Html.main_text)]
    assert found == [documents["a.html"], "a <b> c"]


def test_the_source_of_pages_is_the_default(tmp_path):
    (tmp_path / "a.html").write_text(page())
    assert [document.text for document in read(tmp_path)] == [page()]


@needs_trafilatura
def test_invalid_bytes_and_long_pages(tmp_path):
    (tmp_path / "a.html").write_bytes(page().encode("latin-1"))
    source = FilesConfig(path=str(tmp_path), html=Html.main_text).build()
    assert ["sch\ufffdn." in document.text for document in source.documents()] == [True]
    assert source.notes == {"invalid byte sequences replaced by U+FFFD": 1}
    with pytest.raises(DataError, match=r"a.html: bytes that are not utf-8"):
        read(tmp_path, html=Html.main_text, encoding_errors=EncodingErrors.strict)
    with pytest.raises(DataError, match=r"gave no text \(1 pages left out: longer than four times"):
        read(tmp_path, html=Html.main_text, max_document_bytes=100)


@pytest.mark.parametrize(
    ("stated", "meta", "mark", "encoding"),
    [
        (None, "", b"", "utf-8"),
        ("iso-8859-1", "", b"", "cp1252"),
        ("koi8-r", '<meta charset="shift_jis">', b"", "koi8-r"),
        (None, '<meta http-equiv=x content="text/html; charset=Shift_JIS">', b"", "shift_jis"),
        (None, "<meta charset='utf-16'>", b"", "utf-8"),
        ("nonsense", "<meta charset=base64>", b"", "utf-8"),
        ("koi8-r", "", b"\xef\xbb\xbf", "utf-8-sig"),
    ],
)
def test_encoding_of_a_page(stated, meta, mark, encoding):
    assert web_pages._encoding(mark + page(meta).encode("ascii", "replace"), stated, "utf-8", True) == encoding


def test_settings_that_cannot_be(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("a")
    if importlib.util.find_spec("trafilatura") is not None:
        with pytest.raises(ConfigError, match=r"html=main_text: no file of .* is HTML or WARC"):
            FilesConfig(path=str(tmp_path), html=Html.main_text).build()
    monkeypatch.setattr(web_pages.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'"trafilatura": pip install "prospero\[web\]"'):
        FilesConfig(path=str(tmp_path), html=Html.main_text).build()


@needs_trafilatura
def test_identity_has_the_version_of_what_finds_the_text(tmp_path):
    (tmp_path / "a.html").write_text(page())
    plain = FilesConfig(path=str(tmp_path)).build().identity()
    found = FilesConfig(path=str(tmp_path), html=Html.main_text).build().identity()
    assert found == plain | {"html": "main_text", "trafilatura": importlib.metadata.version("trafilatura")}
