"""Controls and terminal sequences go; tabs, line ends and joiners stay."""

import pytest

from prospero.data.cleaning.control_characters import ControlCharactersConfig


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\x00b\x07c\x7f", "abc"),
        ("tab\tline\r\nend\n", "tab\tline\r\nend\n"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07shell", "shell"),
        ("page\x0cbreak", "page\nbreak"),
        ("report\vresults", "report\nresults"),
        ("lines\n\x0c\nend\n\x0cnext", "lines\n\nend\nnext"),
        ("record\x1egroup\x1dfile\x1cend", "record\ngroup\nfile\nend"),
        ("field\x1ffield", "field field"),
        ("N\bNA\bAM\bME\bE _\bw_\bo", "NAME wo"),
        ("ab\b\bAB", "AB"),
        ("\bx\n\by", "x\ny"),
        ("C1 \x9b é", "C1  é"),
        ("next\x85line", "next\x85line"),
        ("\u200bzero\ufeff", "\u200bzero\ufeff"),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("À\u0300", "À\u0300"),
    ],
)
def test_removes_controls_alone(text, expected):
    assert ControlCharactersConfig().build()(text) == expected


def test_every_c0_and_c1_control_is_removed():
    text = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0)]))
    assert ControlCharactersConfig().build()("x" + text + "é") == "x\t\n\r\n \x85é"


def test_invisible_characters_when_asked_for():
    step = ControlCharactersConfig(invisible=True).build()
    assert step("\u200bze\u00adro\ufeff \u202eevil") == "zero evil"
    assert step("👩\u200d🚀") == "👩\u200d🚀"


def test_clean_text_is_returned_as_the_same_object():
    text = "def f():\n\treturn 'é'\n"
    assert ControlCharactersConfig().build()(text) is text
