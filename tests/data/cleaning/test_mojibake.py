"""Mojibake is repaired; nothing else that ftfy could do is done."""

import pickle

import pytest

from prospero.data.cleaning.mojibake import MojibakeConfig


@pytest.mark.parametrize("text", ["schön", "l’humanité", "Это по-русски", "日本語", "“quoted”"])
def test_repairs_utf8_read_as_a_western_encoding(text):
    broken = text.encode().decode("cp1252", "surrogateescape").encode("cp1252", "surrogateescape").decode("latin-1")
    assert MojibakeConfig().build()(broken) == text


def test_repairs_only_the_broken_line():
    assert MojibakeConfig().build()("naïve\nschÃ¶n\nÃ la carte?").split("\n")[:2] == ["naïve", "schön"]


@pytest.mark.parametrize(
    "text",
    ["“curly” ‘quotes’ — ﬁne ligature", "ＦＵＬＬ width", "&lt;b&gt; &eacute;", "\x1b[31mred", "x\x07", "ñandú àéîõü"],
)
def test_leaves_everything_else_alone(text):
    assert MojibakeConfig().build()(text) is text or MojibakeConfig().build()(text) == text


def test_can_go_to_another_process():
    step = pickle.loads(pickle.dumps(MojibakeConfig().build()))
    assert step("schÃ¶n") == "schön"


AMANHA = "AMANH\u00c3"
IRMA = "IRM\u00c3"


@pytest.mark.parametrize(
    "line",
    [
        f"Na porta lia-se: \u201c{AMANHA}\u201d e todos riram.",
        f"Dizia {AMANHA}\u201d e riu.",
        f"{IRMA}\u2014disse ele",
        f"Marca {IRMA}\u00ae de roupas",
        f"{IRMA}\u2013 ou n\u00e3o",
        "Gr\u00e2ce \u00e0 \u00ab GR\u00c2\u00bb et",
        "\u201dJAG F\u00c5\u201d",
        "naïve — sch\u00c3\u00b6n",
    ],
)
def test_right_text_is_not_repaired(line):
    assert MojibakeConfig().build()(line) == line
    assert MojibakeConfig().build()(f"Uma linha.\n{line}\n") == f"Uma linha.\n{line}\n"


def test_a_line_with_many_broken_characters_is_repaired_among_right_ones():
    broken = "\u00c3\u00a9t\u00c3\u00a9 \u2014 caf\u00c3\u00a9 \u2014 d\u00e9j\u00e0"
    assert MojibakeConfig().build()(broken) == "été — café — déjà"


def test_capitals_within_a_word_are_repaired():
    assert MojibakeConfig().build()("SCH\u00c3\u2013N IST ES") == "SCHÖN IST ES"
