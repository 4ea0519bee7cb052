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
