"""Words are counted in scripts with spaces and without; each script is counted as its readers would, roughly."""

import pytest

from prospero.data.cleaning.length import LengthConfig
from prospero.data.cleaning.step import Drop
from prospero.data.cleaning.symbol_ratio import SymbolRatioConfig
from prospero.data.cleaning.words import combining_marks, count_words, has_combining_marks

CHINESE = "今天天气很好，我们去公园散步。"  # 13 characters


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        ("one two  three\n", 3),
        ("naïve café", 2),
        (CHINESE, 7),
        ("日本語のテキスト", 4),
        ("ภาษาไทย", 2),  # 7 letters and signs
        ("한국어 문장 입니다", 3),  # Korean sets spaces
        ("read 今天天气 now", 4),
        ("，。！", 0),
        ("n\xe9 \xe0 l\u2019\xe9t\xe9", 3),
        ("\u0434\u0432\u0430 \u0441\u043b\u043e\u0432\u0430\xa0\u0442\u0440\u0438", 3),
        (" \xe9 ", 1),
        ("\u3000\xe9\u3000", 1),
        ("\u6211\u4eec\u5728\u5bb6abc def", 4),
        ("\u304b\u306a\u3001\u30ab\u30ca\u3002x", 3),
        ("\u0e01\u0e02\u0e03\u0e04\u0e05\u0e06 \xe9", 3),
        ("\xe9\u200b\xe9", 2),
        ("\xe9\x1c\xe9\x85\xe9", 3),
        ("\U00020000\U0003ffff\U00040000", 2),
        ("\ud800\xe9 \udfff", 2),
        ("\uff76\uff85\uff08\uff58\uff09", 1),
    ],
)
def test_count_words(text, words):
    assert count_words(text) == words


def test_chinese_and_thai_pages_are_as_long_as_they_are():
    step = LengthConfig(min_characters=200, min_words=50).build()
    for text in (CHINESE * 27, "ภาษาไทยไม่มีช่องว่าง" * 20):
        assert len(text) >= 400 and step(text) is text
    assert step(CHINESE[:9] + "。" * 200) == Drop("too few words")
    assert LengthConfig(max_words=100).build()(CHINESE * 27) == Drop("too many words")


def test_ellipses_are_measured_against_words_that_are_there():
    text = "他说……然后走了，谁也不知道他去了哪里。" + "谁也不知道他去了哪里，也没有人再见过他。" * 3
    assert SymbolRatioConfig(max_symbol_ratio=None).build()(text) is text
    assert SymbolRatioConfig().build()("a ... b ... c ...").reason.startswith("too many")


def test_marks_are_found_where_there_are_some():
    assert all(has_combining_marks(f"é{mark}") for mark in "\u0301\u0942\u200c\u200d\U000e0100")
    assert not any(
        has_combining_marks(text) for text in ("", "plain", "né à l’été", "слова", "今天", "\ud800", "\u200b")
    )


def test_the_marks_are_those_of_unicode():
    import re

    marks = re.compile(f"[{combining_marks()}]")
    assert all(marks.fullmatch(c) for c in "\u0301\u0942\u093e\u094d\u0e34\u200d\U0001e8d0\U000e0100")
    assert not any(marks.fullmatch(c) for c in "a1 _-'\u0915")
