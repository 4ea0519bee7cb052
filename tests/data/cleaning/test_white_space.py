"""White space is tidied, the indentation of code is not touched, and hostile input stays linear."""

import time

import pytest

from prospero.data.cleaning.white_space import Tabs, WhiteSpaceConfig
from prospero.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\r\nb\rc\x85d\u2028e", "a\nb\nc\nd\ne"),
        ("a  \nb\t\n", "a\nb\n"),
        ("a\n\n\n\n\n\nb", "a\n\n\nb"),
        ("\n\n    x = 1\n\n\n", "    x = 1\n"),
        ("if x:\n\ty  = 1\n", "if x:\n\ty  = 1\n"),
        ("wide\u00a0space", "wide\u00a0space"),
        ("end ", "end"),
    ],
)
def test_default(text, expected):
    assert WhiteSpaceConfig().build()(text) == expected


def test_python_code_is_the_same_object():
    text = "class A:\n\n    def f(self):\n        return  [1,\n                 2]\n\n\nx = 'é'\n"
    assert WhiteSpaceConfig().build()(text) is text


@pytest.mark.parametrize("run", range(1, 40))
def test_blank_runs_are_shortened_to_exactly_the_limit(run):
    for limit in (0, 1, 2, 5):
        result = WhiteSpaceConfig(max_blank_lines=limit).build()("a" + "\n" * run + "b")
        assert result == "a" + "\n" * min(run, limit + 1) + "b"


def test_no_limit_on_blank_lines():
    assert WhiteSpaceConfig(max_blank_lines=None).build()("a\n\n\n\n\n\nb") == "a\n\n\n\n\n\nb"


def test_collapsing_unifying_and_tabs():
    step = WhiteSpaceConfig(collapse_blanks=True, unify_spaces=True).build()
    assert step("  a \t b\u00a0\u3000c  \n   d") == "a b c\nd"
    assert WhiteSpaceConfig(tabs=Tabs.expand, tab_size=4).build()("a\tb\n\tc") == "a   b\n    c"


def test_a_million_spaces_take_no_quadratic_time():
    text = " " * 1_000_000 + "x \n" + "\n" * 1_000_000 + "y"
    start = time.perf_counter()
    WhiteSpaceConfig().build()(text)
    WhiteSpaceConfig(collapse_blanks=True).build()(text)
    assert time.perf_counter() - start < 5


def test_impossible_settings():
    with pytest.raises(ConfigError, match=r"^max_blank_lines=-1"):
        WhiteSpaceConfig(max_blank_lines=-1)
    with pytest.raises(ConfigError, match=r"^tab_size=0"):
        WhiteSpaceConfig(tab_size=0)
