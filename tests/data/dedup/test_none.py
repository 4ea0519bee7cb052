"""No de-duplication."""

from prospero.data.dedup.none import NoDedupConfig


def test_nothing_is_a_duplicate(tmp_path):
    dedup = NoDedupConfig().build(tmp_path)
    assert [dedup.keep("same", dedup.sketch("same"), "") for _ in range(3)] == ["same"] * 3
    assert dedup.report() == {}
