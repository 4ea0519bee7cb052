"""C4's rules of lines and pages, by hand."""

import pytest

from prospero.data.cleaning.c4 import C4Config
from prospero.data.cleaning.step import Drop
from prospero.errors import ConfigError

PAGE = "This is the first sentence here.\nThis is the second one here!\nAnd is this the third one?"


def outcome(text, **settings):
    result = C4Config(**settings).build()(text)
    return result.reason if isinstance(result, Drop) else result


def test_a_page_of_sentences_stays_the_same_object():
    assert C4Config().build()(PAGE) is PAGE


@pytest.mark.parametrize(
    "line",
    [
        "A menu without an end here",
        "This goes on and on and on...",
        "This goes on and on and on…",
        "Only four words here.",
        "Please enable JavaScript to see this page.",
        "By this you agree to our Terms of Use.",
        "This site of ours uses cookies for you.",
        f"A word of 1001 letters, {'a' * 1001} is here.",
    ],
)
def test_a_line_that_is_no_sentence_goes(line):
    assert outcome(f"{line}\n{PAGE}\n{line}") == PAGE


@pytest.mark.parametrize(
    "line",
    [
        "Only five words are here.",
        'He said "I will not do that"',
        f"A word of a thousand letters {'a' * 1000} is here.",
        "这是第一句话，我们都看见了。",  # 12 letters and 6 words
    ],
)
def test_a_line_at_the_bound_stays(line):
    assert outcome(f"{line}\n{PAGE}") == f"{line}\n{PAGE}"


def test_marks_of_citation_go():
    cited = PAGE.replace("first sentence", "first[12] sentence[edit][citation needed]")
    assert outcome(cited) == PAGE and outcome(cited, citations=True) == cited


@pytest.mark.parametrize(("sentences", "kept"), [(2, False), (3, True), (4, True)])
def test_three_sentences_are_enough(sentences, kept):
    text = " ".join(["This is the one of them."] * sentences)
    assert outcome(text) == (text if kept else "too few sentences")


@pytest.mark.parametrize(
    ("more", "reason", "settings"),
    [
        ("Lorem ipsum dolor sit amet.", "lorem ipsum", {"lorem_ipsum": True}),
        (
            "function() {",
            "a curly bracket",
            {"curly_brackets": True, "unfinished_lines": True, "min_words_per_line": 0},
        ),
    ],
)
def test_pages_that_are_dropped_whole(more, reason, settings):
    text = f"{PAGE}\n{more}"
    assert outcome(text) == reason and outcome(text, **settings) == text


def test_rules_of_lines_can_be_switched_off():
    text = "menu\nenable JavaScript\nuses cookies\n" + "a" * 1001
    off = {"unfinished_lines": True, "javascript": True, "policies": True, "min_words_per_line": 0}
    assert outcome(text, **off, min_sentences=0, max_word_length=None) == text


def test_words_of_a_list_drop_a_page():
    assert outcome(PAGE, bad_words=["SECOND"]) == "a bad word"
    assert outcome(PAGE, bad_words=["secon", "or"]) == PAGE


@pytest.mark.parametrize("wrong", [{"min_sentences": -1}, {"min_words_per_line": -1}, {"max_word_length": 0}])
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(ConfigError, match="choose"):
        C4Config(**wrong)
