"""Foreign text cannot steer a terminal or forge a line, whichever way it reaches the screen."""

import logging

import pytest

from prospero import log
from prospero.printable import printable, printable_lines

FORGED = "a\nerror: forged\x1b]0;title\x07\u202e\x9b\udce9\r"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (FORGED, r"a\nerror: forged\x1b]0;title\x07\u202e\x9b\udce9\r"),
        ("schön 日本語 👩\u200d🚀 \\n", "schön 日本語 👩\u200d🚀 \\n"),
        ("tab\tline\x0b\x85\u2028", r"tab\tline\x0b\x85\u2028"),
        (3, "3"),
    ],
)
def test_printable_is_one_line_without_controls(text, expected):
    assert printable(text) == expected
    printable(text).encode()


def test_lines_keep_their_ends_and_tabs():
    assert printable_lines("one\ttwo\n\x1b[31mred\r\n") == "one\ttwo\n\\x1b[31mred\\r\n"


def test_every_control_character_is_shown():
    everything = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0)]))
    assert all(character.isprintable() for character in printable(everything))


def test_the_log_forges_no_line_on_screen_and_in_its_file(tmp_path, capsys):
    log.configure(tmp_path / "log")
    log.log.info("reading %s", FORGED)
    try:
        raise ValueError(FORGED)
    except ValueError:
        log.log.exception("no luck with %s", FORGED)
    for handler in log.log.handlers:
        handler.flush()
    screen, written = capsys.readouterr().err, (tmp_path / "log").read_text(encoding="utf-8")
    for text in (screen, written):
        assert r"reading a\nerror: forged\x1b]0;title\x07\u202e\x9b\udce9\r" in text
        assert not any(character in text for character in "\x1b\x07\u202e\x9b\r")
        assert "\n  File " in text  # a traceback keeps its lines
    assert logging.getLogger("prospero") is log.log
