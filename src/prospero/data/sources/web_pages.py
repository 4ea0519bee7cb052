"""Pages of the web: their encoding, and the main text without menus and adverts. Needs prospero[web] for the text.

The main text is found by trafilatura (Barbaresi 2021, ACL demos). A page as it stands is left to cleaning=[html].
"""

import codecs
import importlib.util
import re
from collections.abc import Iterator
from enum import Enum
from typing import Any

from prospero.data.document import Document
from prospero.data.sources.compression import ByteStream
from prospero.data.sources.reading import BLOCK_BYTES, BYTE_ORDER_MARKS, Reading
from prospero.errors import ConfigError

HTML_ENDINGS = frozenset({".html", ".htm", ".xhtml"})
TOO_LONG = "pages left out: longer than four times data.max_document_bytes"
NO_MAIN_TEXT = "pages left out: no main text was found"
_META = re.compile(rb"<meta[^>]{0,512}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
_META_BYTES = 2048


class Html(Enum):
    """What is taken of a page in HTML."""

    source = "source"
    main_text = "main_text"


def check_html(html: Html) -> None:
    """Raise ConfigError where the package for the main text is missing."""
    if html is Html.main_text and importlib.util.find_spec("trafilatura") is None:
        raise ConfigError('data.html=main_text needs the package "trafilatura": pip install "prospero[web]"')


def html_identity(html: Html) -> dict[str, Any]:
    """Return what decides the text of pages, beside the pages: the version of what finds the main text."""
    if html is Html.source:
        return {}
    from importlib.metadata import version

    return {"html": html.name, "trafilatura": version("trafilatura")}


def read_page(stream: ByteStream, name: str, reading: Reading) -> Iterator[Document]:
    """Give the main text of a file in HTML as document `name`."""
    limit = 4 * reading.max_document_bytes
    pieces, size = [], 0
    while block := stream.read(BLOCK_BYTES):
        size += len(block)
        if size <= limit:
            pieces.append(block)
        else:
            pieces.clear()
    if size > limit:
        reading.notes[TOO_LONG] += 1
        return
    yield from page_documents(b"".join(pieces), None, name, reading, Html.main_text)


def page_documents(
    page: bytes, charset: str | None, name: str, reading: Reading, html: Html | None
) -> Iterator[Document]:
    """Give the text of a page, whose server may have stated a charset; `html` is None for plain text."""
    text = page.decode(_encoding(page, charset, reading.encoding, html is not None), "prospero_mark")
    if html is not Html.main_text:
        yield from reading.documents([text], name)
        return
    whole = reading.repaired(text, name)
    if whole is None:
        return
    found = _main_text(whole)
    if found is None:
        reading.notes[NO_MAIN_TEXT] += 1
        return
    yield from reading.documents([found], name)


def _main_text(page: str) -> str | None:
    import trafilatura

    return trafilatura.extract(page, include_comments=False) or None


def _encoding(page: bytes, stated: str | None, otherwise: str, is_html: bool) -> str:
    """Return by the order of the HTML standard: the byte-order mark, the server, the page itself, the setting."""
    for mark, codec in BYTE_ORDER_MARKS.items():
        if page.startswith(mark):
            return codec
    found = _META.search(page[:_META_BYTES]) if is_html else None
    if (codec := _text_codec(stated)) is not None:
        return codec
    if found is not None and (codec := _text_codec(found[1].decode("ascii"))) is not None:
        return "utf-8" if codec.startswith("utf-16") else codec  # a page whose charset can be read so is not UTF-16
    return otherwise


def _text_codec(label: str | None) -> str | None:
    try:
        codec = codecs.lookup(label or "?")
        "".encode(codec.name)  # raises for those that are none of text, such as base64
    except (LookupError, ValueError):
        return None
    return "cp1252" if codec.name in ("iso8859-1", "ascii") else codec.name
