"""Lines are cut as the shells cut them, and what is put in gives the word that was meant."""

import shlex

import pytest

from prospero.completion.line import cut, in_bash

BREAKS = " \t\n\"'><=;|&(:"


@pytest.mark.parametrize(
    ("text", "words", "word", "quote"),
    [
        ("prospero tr", ["prospero"], "tr", ""),
        ("prospero train ", ["prospero", "train"], "", ""),
        ('a b\\ c \'d e\' "f\\"g" h', ["a", "b c", "d e", 'f"g'], "h", ""),
        ("a 'b c", ["a"], "b c", "'"),
        ('a x="b $c', ["a"], "x=b $c", '"'),
        ("a '' b", ["a", ""], "b", ""),
        ("one | two; a b", ["a"], "b", ""),
        ("a 'x|y' ", ["a", "x|y"], "", ""),
        ("a >out b", ["a"], "b", ""),
        ("a b\\", ["a"], "b", ""),
        ("", [], "", ""),
    ],
)
def test_words(text, words, word, quote):
    line = cut(text, breaks=BREAKS)
    assert (line.words, line.word, line.quote, line.redirected) == (words, word, quote, False)


def test_the_file_of_a_redirection_is_none_of_the_words():
    assert cut("a b > ou").redirected and cut("a b >").redirected and not cut("a > out b").redirected


def test_in_fish_a_backslash_counts_in_single_quotes():
    assert cut(r"a 'b\'c' d", fish=True).words == ["a", "b'c"]
    assert cut(r"a 'b\\", fish=True).word == "b\\"


BEGUN = {
    "": "",
    "x": "",
    "x=": "x=",
    "x=y": "x=",
    "'x=": "'",
    '"x=': '"',
    "x='": "x='",
    'x="': 'x="',
    "x\\=": "",
    "x=y:": "x=y:",
}
"""What has been typed of a word -> what of it bash leaves as it is."""


@pytest.mark.parametrize("begun", BEGUN)
@pytest.mark.parametrize(
    "rest", ["small", "my 'run'", 'a"b', "$(touch x)", "`x`", "a;b|c&d", "[a,b]", "ü <b>", "!x", "~#*", "a\\b"]
)
def test_what_is_put_in_is_read_by_the_shell_as_the_word(begun, rest):
    line = cut(f"a {begun}", breaks=BREAKS)
    typed = f"{BEGUN[begun]}{in_bash(line, line.word + rest)}{line.quote}"
    assert cut(f"{typed} ").words == [line.word + rest]
    if line.quote != '"':  # in which shlex leaves backslashes before $ and `
        assert shlex.split(typed) == [line.word + rest]
