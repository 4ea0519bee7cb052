"""Repeated lines, paragraphs and runs of words, with exact numbers."""

import random

import pytest

from prospero.data.cleaning.repetition import RepetitionAction, RepetitionConfig, repeated_ratios
from prospero.data.cleaning.step import Drop
from prospero.errors import ConfigError


def words(count: int, seed: int = 0) -> list[str]:
    generator = random.Random(seed)
    return ["".join(generator.choices("abcdefghij", k=6)) for _ in range(count)]


def test_ratios_count_later_copies():
    assert repeated_ratios(["a", "bb", "a", "a"]) == (0.5, pytest.approx(2 / 5))
    assert repeated_ratios(["a", "b"]) == (0.0, 0.0)
    assert repeated_ratios([]) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("same line here\n" * 3 + "another\nand one more\n", "too many repeated lines"),
        (
            "\n".join([*words(7), *(["a long line that comes twice over " * 2] * 2)]),
            "too many characters in repeated lines",
        ),
        (" ".join(["buy now"] * 10 + words(30)), "one run of 2 words too often"),
        (" ".join(words(10) + words(60, 1) + words(10)), "too many repeated runs of"),
    ],
)
def test_each_rule_drops(text, reason):
    result = RepetitionConfig().build()(text)
    assert isinstance(result, Drop)
    assert result.reason.startswith(reason)


@pytest.mark.parametrize(
    ("separator", "others", "expected"),
    [
        ("\n", 6, None),  # 3 of 10 are copies
        ("\n", 5, "too many repeated lines"),  # 3 of 9
        ("\n", 7, None),
        ("\n\n", 6, None),
        ("\n\n", 5, "too many repeated paragraphs"),
        ("\n\n", 7, None),
    ],
)
def test_three_copies_of_ten_are_at_the_bound(separator, others, expected):
    text = separator.join(["ab"] * 4 + words(others))
    settings = {} if separator == "\n" else {"max_line_ratio": 1.0}
    result = RepetitionConfig(**settings, n_grams=False).build()(text)
    assert (result is text) if expected is None else result == Drop(expected)


@pytest.mark.parametrize("unit", ["line", "paragraph"])
@pytest.mark.parametrize(("last", "kept"), [(12, True), (11, False), (13, True)])
def test_a_fifth_of_the_characters_is_at_the_bound(unit, last, kept):
    separator = "\n" if unit == "line" else "\n\n"
    text = separator.join(["abcd", "a" * last, "abcd"])  # 4 of 20, of 19, of 21
    settings = {"max_line_ratio": 1.0, "max_paragraph_ratio": 1.0, "n_grams": False}
    settings |= {} if unit == "line" else {"max_line_character_ratio": 1.0}
    result = RepetitionConfig(**settings).build()(text)
    assert (result is text) if kept else result == Drop(f"too many characters in repeated {unit}s")


@pytest.mark.parametrize(
    ("n", "others", "expected"),
    [
        (2, 16, None),  # 4 words of 20, all of one length
        (2, 15, "one run of 2 words too often"),
        (3, 28, None),  # 6 of 34
        (3, 27, "one run of 3 words too often"),  # 6 of 33
        (4, 42, None),  # 8 of 50
        (4, 41, "one run of 4 words too often"),
    ],
)
def test_runs_of_words_at_their_bounds(n, others, expected):
    run, more = words(n, 1), words(others, 2)
    text = " ".join([*run, more[0], *run, *more[1:]])
    result = RepetitionConfig().build()(text)
    assert (result is text) if expected is None else result == Drop(expected)


@pytest.mark.parametrize(("n", "total"), [(5, 100), (6, 129), (7, 162), (8, 200), (9, 246), (10, 300)])
def test_longer_runs_of_words_at_their_bounds(n, total):
    """Three passages of n words come again: 3 n of `total` words are at most the bound, of one fewer beyond it."""
    passages, more = [words(n, seed) for seed in (1, 2, 3)] * 2, words(total, 4)
    text = " ".join(word for passage in passages for word in [*passage, more.pop()])
    for size, expected in ((total, None), (total - 1, f"too many repeated runs of {n} words"), (total + 1, None)):
        longer = " ".join([text, *more[: size - 6 * n - 6]])
        result = RepetitionConfig().build()(longer)
        assert len(longer.split()) == size
        assert (result is longer) if expected is None else result == Drop(expected)


def test_text_without_repetition_is_kept():
    text = "\n".join(" ".join(words(10, seed)) for seed in range(40))
    assert RepetitionConfig().build()(text) is text


def test_copies_can_be_removed_instead():
    line = "a line that is long enough to count as one"
    step = RepetitionConfig(action=RepetitionAction.remove).build()
    assert step(f"{line}\nshort\n{line}\nshort\nend") == f"{line}\nshort\nshort\nend"
    paragraph = f"{line} first,\n{line} second"
    assert step(f"{paragraph}\n\nmiddle\n\n{paragraph}\n\nend") == f"{paragraph}\n\nmiddle\n\nend"


def test_a_share_above_one_is_refused():
    with pytest.raises(ConfigError, match=r"^max_line_ratio=2"):
        RepetitionConfig(max_line_ratio=2)
