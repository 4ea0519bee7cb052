"""Properties of tokens, character by character."""

import numpy as np

from prospero.analysis.text_properties import (
    KINDS,
    NONE,
    bracket_depth,
    in_string_or_comment,
    next_is_line_end,
    token_kind,
)

TEXT = "def f(a, [2]):\n    return 'x (y' # [\n"


def test_each_character_of_a_program():
    kinds = [KINDS[kind] for kind in token_kind(TEXT)]
    assert kinds[:6] == ["keyword"] * 3 + ["space", "name", "operator"]
    assert kinds[TEXT.index("2")] == "number"
    assert kinds[TEXT.index("'x") : TEXT.index("#")] == ["string"] * 6 + ["space"]
    assert kinds[-4:] == ["comment"] * 3 + ["line end"]
    assert "".join(map(str, bracket_depth(TEXT))) == "0000011112210".ljust(len(TEXT), "0")
    assert in_string_or_comment(TEXT).sum() == len("'x (y'") + len("# [")
    ends = next_is_line_end(TEXT)
    assert np.flatnonzero(ends == 1).tolist() == [TEXT.index("\n") - 1, len(TEXT) - 2]
    assert ends[-1] == NONE


def test_what_cannot_be_read_has_no_property():
    cut = "x = 1\ny = 2\nz = '''never ends\n"
    assert (token_kind(cut)[:12] != NONE).all()
    prose = "It's a long day, and nobody's tired of the world's ways yet."
    assert (token_kind(prose) == NONE).all()
    assert (next_is_line_end(prose)[:-1] == 0).all()
    assert len(token_kind("")) == len(next_is_line_end("")) == 0
    assert bracket_depth("a))))(((((b\n").max() == 3


def test_lines_are_counted_as_python_counts_them():
    text = "a = 1 # x\x0c\u2028y\nbb = 2\r\nc\n"
    assert KINDS[token_kind(text)[text.index("bb")]] == "name"
    assert KINDS[token_kind(text)[text.index("c\n")]] == "name"
