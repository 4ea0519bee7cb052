"""The difference of two texts in lines: what differs, and that it can be seen."""

from prospero.data.text_change import MOST_LINES, WIDTH, change_lines, text_change


def shown(before: str, after: str, *, colour: bool = False, most: int = 100) -> list[str]:
    return list(change_lines(text_change("a.txt", before, after), colour=colour, most=most))


def test_a_line_that_changed_stands_after_the_line_before_it():
    assert shown("one\ntwo\nthree\nfour", "one\ntwo\n3\nfour") == [
        "  a.txt: 18 -> 14 characters",
        "      two",
        "    - three",
        "    + 3",
    ]


def test_lines_that_went_and_lines_that_came():
    assert shown("a\n\n\nb\nc", "a\n\nb\nnew\nc")[1:] == ["      ", "    - ⏎", "      b", "    + new"]


def test_what_differs_is_marked_in_colour():
    lines = shown("x = 1", "x = 25", colour=True)
    assert lines[1:] == [
        "    \x1b[31m- x = \x1b[7m1\x1b[27m\x1b[0m",
        "    \x1b[32m+ x = \x1b[7m25\x1b[27m\x1b[0m",
    ]


def test_what_cannot_be_seen_is_spelt_out():
    assert shown("end \t", "end")[1:] == ["    - end·→", "    + end"]
    assert shown("e\u0301t", "\xe9t")[1:] == [r"    - e\u0301t", r"    + \xe9t"]
    assert shown("a\u200bb", "ab")[1:] == [r"    - a\u200bb", "    + ab"]
    assert shown("\x1b[31mred", "red")[1:] == [r"    - \x1b[31mred", "    + red"]
    assert "\x1b" not in shown("\x1b[31mred\nA", "\x1b[31mred\nB")[1]


def test_of_a_long_line_the_part_round_the_change_is_shown():
    line = "a" * 500 + "x" + "b" * 500
    removed, added = shown(line, line.replace("x", "y"))[1:]
    assert removed.startswith("    - …aaa") and removed.endswith("bbb…") and removed.count("x") == 1
    assert added.count("y") == 1 and len(added) == len("    + ") + WIDTH + 2


def test_lines_beyond_those_asked_for_are_counted():
    before = "\n".join(f"line {i}" for i in range(50))
    assert shown(before, before.replace("line", "row"), most=3)[1:] == [
        "    - line 0",
        "    + row 0",
        "    - line 1",
        "    ... 97 more lines differ",
    ]


def test_a_long_text_is_compared_at_its_beginning_and_nothing_is_made_up_there():
    lines = [f"line {i}" for i in range(5 * MOST_LINES)]
    after = [line for i, line in enumerate(lines) if i % 3]
    change = text_change("a", "\n".join(lines), "\n".join(after))
    assert change.differing == len(lines) - len(after)
    assert not [line for line in change.lines if line.kind.name == "added"]
    assert len(change.lines) > 100
