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


README = """# Title

<p align="center"><img src="logo.png"></p>

Some words, and a break.<br>

* one item
* another

```python
def f():
    return "<b>"
```
"""


@pytest.mark.parametrize(
    "text",
    [
        README,
        README.replace("```", "~~~"),
        README.replace("```python", "").replace("```", ""),  # no fence, but lines of its own
        "def page():\n" + "    x = 1\n" * 20 + "    return '<p>' + title + '</p><br>'\n",
        "A long letter.\n" * 30 + "with <b>bold</b> words<br>\n",
    ],
)
def test_text_with_lines_of_its_own_keeps_them(text):
    assert HtmlConfig().build()(text) is text


@pytest.mark.parametrize(
    "start",
    [
        "<!DOCTYPE html>\n<html><body>",
        "\n<html lang='en'>",
        "<?xml version='1.0'?>\n<!-- x -->\n<html>",
        "<body class='a'>",
    ],
)
def test_what_begins_as_a_page_is_one_whatever_its_lines(start):
    page = f"{start}<p>first\n" + "plain line\n" * 50 + "``` no fence\n</p>"
    assert HtmlConfig().build()(page).startswith("first plain line plain")


LONG = "Many words that somebody wrote. " * 10


@pytest.mark.parametrize("tag", ["form", "header", "aside", "nav", "button"])
def test_what_holds_most_of_the_page_is_not_boilerplate(tag):
    page = f"<html><body><nav>Home</nav><{tag}><div><h1>T</h1><p>{LONG}</p></div></{tag}><footer>(c)</footer></body>"
    assert to_text(page) == f"T\n\n{LONG.strip()}"


def test_what_holds_most_may_lie_in_another_and_the_rest_is_left_out():
    script = f"<script>{'var x;' * 500}</script>"
    page = f"<form><header><p>{LONG}</p></header><nav>Home News</nav>{script}</form>{script}"
    assert to_text(page) == LONG.strip()
    assert to_text(f"<form><p>search</p></form><p>{LONG}</p>") == LONG.strip()
    assert to_text(f"<nav>a</nav><main>{LONG}</main><form>{LONG}</form>") == LONG.strip()  # half is not most


def test_boilerplate_nested_by_the_thousand_ends():
    deep = "<aside>" * 5000 + "bottom" + "</aside>" * 5000
    assert to_text(deep) in ("", "bottom")
