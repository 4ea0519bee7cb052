"""Lower case."""

from prospero.data.cleaning.lower_case import LowerCaseConfig


def test_all_letters_become_small():
    assert LowerCaseConfig().build()("ÀB c Ω 1") == "àb c ω 1"
