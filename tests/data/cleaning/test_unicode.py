"""NFC by default; compatibility forms only when asked for."""

from prospero.data.cleaning.unicode import UnicodeConfig, UnicodeForm


def test_composes_accents_and_keeps_meaning():
    step = UnicodeConfig().build()
    assert step("cafe\u0301") == "café"
    assert step("x² ﬁne ①") == "x² ﬁne ①"


def test_nfkc_when_asked_for():
    assert UnicodeConfig(form=UnicodeForm.nfkc).build()("x² ﬁne") == "x2 fine"


def test_normal_text_is_returned_as_the_same_object():
    text = "schön " * 3
    assert UnicodeConfig().build()(text) is text
