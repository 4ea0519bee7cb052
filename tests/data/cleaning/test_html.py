"""Pages become what a reader sees; other text with angle brackets is left alone."""

import pytest

from prospero.data.cleaning.html import HtmlConfig


def to_text(html: str, **settings) -> str:
    return HtmlConfig(only_if_html=False, **settings).build()(html)


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<p>One <b>bold</b> word.</p><p>Two</p>", "One bold word.\n\nTwo"),
        ("<div>a</div>b<div>c</div>", "a\nb\nc"),
        ("a<br>b<br/>c", "a\nb\nc"),
        ("<ul><li>x</li><li>y</li></ul>z", "x\ny\n\nz"),
        ("<p>Fish &amp; chips &eacute; &lt;tag&gt;</p>", "Fish & chips é <tag>"),
        ("<script>var x = '<p>no</p>';</script><style>p{}</style><p>yes</p>", "yes"),
        ("<pre>  keep\n    this</pre>", "  keep\n    this"),
        ("<p>white\n   space</p>", "white space"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td><td>d</td></tr></table>", "a\tb\nc\td"),
        ("<!-- hidden --><p>seen<!-- no --></p>", "seen"),
        ("<html><head><title>T</title></head><body>B</body></html>", "B"),
        ("", ""),
    ],
)
def test_page_to_text(html, expected):
    assert to_text(html) == expected


def test_navigation_is_left_out_unless_asked_for():
    html = "<nav>Home</nav><main><p>Text</p></main><footer>(c)</footer>"
    assert to_text(html) == "Text"
    assert to_text(html, boilerplate=True) == "Home\n\nText\n\n(c)" or to_text(html, boilerplate=True).split() == [
        "Home",
        "Text",
        "(c)",
    ]


@pytest.mark.parametrize("text", ["if a < b and c > d: pass", "vector<int> x; map<a, b>", "<3 you", "x <- y", "<p>one"])
def test_text_that_is_not_html_is_the_same_object(text):
    assert HtmlConfig().build()(text) is text


def test_html_is_recognised():
    assert HtmlConfig().build()("<p>one</p><p>two</p>") == "one\n\ntwo"


def test_nesting_of_any_depth_is_walked_without_recursion():
    deep = "<div>" * 3000 + "bottom" + "</div>" * 3000
    assert "bottom" in to_text(deep)
