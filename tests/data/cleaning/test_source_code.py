"""Rules for source code: at, just below and just above each bound, by hand."""

import inspect

import pytest

from prospero.data.cleaning import pipeline
from prospero.data.cleaning.source_code import SourceCodeConfig
from prospero.data.cleaning.step import Drop
from prospero.errors import ConfigError


def outcome(text, **settings):
    result = SourceCodeConfig(**settings).build()(text)
    assert isinstance(result, Drop) or result is text
    return result.reason if isinstance(result, Drop) else "kept"


@pytest.mark.parametrize(("longest", "expected"), [(999, "kept"), (1000, "kept"), (1001, "a line too long")])
def test_the_longest_line(longest, expected):
    assert outcome("a" * longest + "\nab" * 40) == expected


@pytest.mark.parametrize(("second", "expected"), [(99, "kept"), (100, "kept"), (101, "lines too long on average")])
def test_the_mean_length_of_lines(second, expected):
    assert outcome("a" * 100 + "\n" + "b" * second) == expected


@pytest.mark.parametrize(("others", "expected"), [(29, "kept"), (30, "kept"), (31, "too few letters and digits")])
def test_a_quarter_of_letters_and_digits(others, expected):
    assert outcome("abcdefgh12" + "=" * others) == expected  # 10 of 39, of 40, of 41


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ab = c + de", "too few letters for each token"),  # 5 letters, 5 tokens
        ("abc = def + ab", "kept"),  # 8 letters, 5 tokens
        ("abc == d1", "too few letters for each token"),  # 4 letters, 3 tokens
        ("abc == de", "kept"),  # 5 letters, 3 tokens
        ("ab d", "kept"),  # 3 letters, 2 tokens
    ],
)
def test_letters_for_each_token(text, expected):
    assert outcome(text) == expected


@pytest.mark.parametrize(("before", "expected"), [(0, "an XML file"), (86, "an XML file"), (87, "kept")])
def test_an_xml_declaration_at_the_beginning(before, expected):
    text = " " * before + '<?xml version="1.0"?>' + "\nwords of the text" * 9  # 14 characters within the first 100
    assert outcome(text) == expected and outcome(text, xml=True) == "kept"


def test_code_is_kept():
    assert outcome(inspect.getsource(pipeline)) == "kept"


def test_a_share_above_one_is_refused():
    with pytest.raises(ConfigError, match=r"^min_alphanumeric=25"):
        SourceCodeConfig(min_alphanumeric=25)
