"""Repeated lines, paragraphs and runs of words, with exact numbers."""

import random

import pytest

from prospero.data.cleaning.repetition import RepetitionAction, RepetitionConfig, _Words, repeated_ratios
from prospero.data.cleaning.step import Drop
from prospero.errors import ConfigError


def words(count: int, seed: int = 0) -> list[str]:
    generator = random.Random(seed)
    return ["".join(generator.choices("abcdefghij", k=6)) for _ in range(count)]


def test_ratios_count_later_copies():
    assert repeated_ratios(["a", "bb", "a", "a"]) == (0.5, pytest.approx(2 / 5))
    assert repeated_ratios(["a", "b"]) == (0.0, 0.0)
    assert repeated_ratios([]) == (0.0, 0.0)


def test_ratios_of_runs_of_words():
    runs = _Words(["aa", "b", "aa", "b", "aa", "b", "cc", "dd"])
    assert runs.top_ratio(2) == pytest.approx(3 * 3 / 13)  # "aa b", three times three characters of thirteen
    assert runs.repeated_ratio(2) == pytest.approx(6 / 13)  # the second and third "aa b" stand in repeated runs
    assert _Words(["a", "b", "c", "d", "e", "f"]).top_ratio(2) == 0.0
    assert _Words([]).repeated_ratio(5) == 0.0


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
