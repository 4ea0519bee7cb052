"""HTML to text: what a reader sees, with a line for each block. Parsing by selectolax (Lexbor)."""

import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice
from typing import Any

_TAG = re.compile(
    r"<(?:!doctype\s+html|/?(?:html|head|body|div|p|br|span|a|table|tr|td|script|style|ul|ol|li|h[1-6]|b|i|em|strong|"
    r"section|article|img|pre|code|blockquote|form|nav|header|footer|main)(?:\s[^<>]*)?/?>)",
    re.IGNORECASE,
)


def _set(names: str) -> frozenset[str]:
    return frozenset(names.split())


_PAGE = re.compile(
    r"\s*(?:<\?xml[^>]*>\s*|<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)
_MARKDOWN = re.compile(r"^(?: {0,3}(?:```|~~~)|#{1,6} \S)", re.MULTILINE)
_TAGS_PER_LINE = 0.5
_HIDDEN = _set(
    """
    script style noscript template head title meta link iframe object svg canvas math audio video select -comment
    _comment
    """
)
_BOILERPLATE = _set("nav header footer aside form button")
_BLOCKS = _set(
    """
    address article aside blockquote body center dd details dialog div dl dt fieldset figcaption figure footer
    form h1 h2 h3 h4 h5 h6 header hr html legend li main menu nav ol optgroup option p pre section summary table
    tbody tfoot thead tr ul
    """
)
_PARAGRAPHS = _set("p h1 h2 h3 h4 h5 h6 blockquote pre table ul ol dl figure article section hr")
_SPACE = re.compile(r"[ \t\n\r\f]+")


@dataclass(kw_only=True, slots=True)
class HtmlConfig:
    """Turn HTML into the text a reader sees, a line for each block."""

    only_if_html: bool = True
    """Leave a text without at least `min_tags` tags as it is."""
    min_tags: int = 3
    """Number of known HTML tags from which a text counts as HTML. One that does not begin as a page does (doctype,
    html, head, body) needs a tag in every second line too, and no heading or code fence of Markdown."""
    boilerplate: bool = False
    """Keep navigation, headers, footers, side notes and forms; one that holds most of a page's text is kept anyway."""

    def build(self) -> "Html":
        """Return the step."""
        return Html(min_tags=self.min_tags if self.only_if_html else 0, boilerplate=self.boilerplate)


class Html:
    """Walk the parsed page: blocks end lines, paragraphs are set apart, scripts and styles are left out."""

    def __init__(self, *, min_tags: int, boilerplate: bool) -> None:
        self.min_tags = min_tags
        self.boilerplate = boilerplate

    def __call__(self, text: str) -> str:
        """Return the visible text of a page, or `text` itself when it is no page."""
        if self.min_tags and not self._is_html(text):
            return text
        from selectolax.lexbor import LexborHTMLParser

        body = LexborHTMLParser(text).body
        if body is None:
            return ""
        if self.boilerplate:
            return _text(body, _HIDDEN)
        text = _text(body, _HIDDEN | _BOILERPLATE)
        if 2 * len(text) >= len(body.text()):
            return text
        page = _main_elements(body)
        return _text(body, _HIDDEN | _BOILERPLATE, page) if page else text

    def _is_html(self, text: str) -> bool:
        if "<" not in text or ">" not in text:
            return False
        wanted = self.min_tags
        if _PAGE.match(text) is None:
            if _MARKDOWN.search(text):
                return False
            lines = sum(1 for line in text.split("\n") if line and not line.isspace())
            wanted = max(wanted, math.ceil(_TAGS_PER_LINE * lines))
        return sum(1 for _ in islice(_TAG.finditer(text), wanted)) == wanted


def _main_elements(body: Any) -> set[int]:
    """Return the numbers of the elements that are usually boilerplate and here hold more than half of the page's text.

    Whole pages stand in one form (ASP.NET) or one header. All such elements lie within one another.
    """
    whole = _visible_length(body)
    found: set[int] = set()
    effort = 0
    for element in body.css(", ".join(sorted(_BOILERPLATE))):
        length = _visible_length(element)
        if length > whole / 2:
            found.add(element.mem_id)
        effort += length
        if effort > 64 * whole:  # nested by the thousand
            break
    return found


def _visible_length(element: Any) -> int:
    def length(node: Any) -> int:
        return len(_SPACE.sub(" ", node.text()))

    return length(element) - sum(map(length, element.css("script, style, noscript, template")))


def _text(body: Any, hidden: frozenset[str], shown: Collection[int] = ()) -> str:
    """Walk the tree without recursion (pages nest thousands deep) and join the pieces of text.

    Elements whose tag is `hidden` are left out, unless their number is in `shown`.
    """
    pieces = _Pieces()
    node, entering = body, True
    preformatted = 0
    while True:
        tag = node.tag
        if entering:
            if tag == "-text":
                pieces.text(node.text_content or "", preformatted > 0)
            elif tag not in hidden or (shown and node.mem_id in shown):
                preformatted += tag == "pre"
                pieces.tag(tag)
                child = node.child
                if child is not None:
                    node = child
                    continue
                preformatted -= tag == "pre"
                pieces.tag(tag)
        else:
            preformatted -= tag == "pre"
            pieces.tag(tag)
        if node is body or tag == "body":
            return "".join(pieces.pieces).strip("\n")
        following = node.next
        node, entering = (following, True) if following is not None else (node.parent, False)


class _Pieces:
    """Joins text so that white space between pieces is what a browser would show."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.pending = ""  # line ends or a space owed before the next text

    def tag(self, tag: str) -> None:
        """Note the begin or the end of an element."""
        if tag == "br":
            self.pending = "\n" if "\n" not in self.pending else self.pending
        elif tag in _PARAGRAPHS:
            self.pending = "\n\n"
        elif tag in _BLOCKS:
            self.pending = "\n" if self.pending != "\n\n" else self.pending
        elif tag in ("td", "th") and not self.pending:
            self.pending = "\t"

    def text(self, text: str, preformatted: bool) -> None:
        """Add text; its white space is collapsed unless it is preformatted."""
        if not preformatted:
            text = _SPACE.sub(" ", text)
            if text.startswith(" "):
                text = text[1:]
                self.pending = self.pending or " "
            if not text:
                return
        if self.pending and self.pieces:
            self.pieces.append(self.pending)
        self.pending = ""
        if not preformatted and text.endswith(" "):
            text, self.pending = text[:-1], " "
        self.pieces.append(text)
