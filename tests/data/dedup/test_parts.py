"""Repeated paragraphs and lines leave texts; what is short, or is there for the first time, stays to the letter."""

import pickle

import pytest

from prospero.data.dedup.lines import LinesDedupConfig
from prospero.data.dedup.paragraphs import ParagraphsDedupConfig
from prospero.errors import ConfigError

LONG = "The licence of this page allows you to read it as often as you like."
OTHER = "Another paragraph of the same length, which stands in one place alone."


def kept(dedup, *texts):
    return [dedup.keep(text, dedup.sketch(text), f"d{place}") for place, text in enumerate(texts)]


def test_a_repeated_paragraph_leaves_with_what_set_it_apart(tmp_path):
    dedup = ParagraphsDedupConfig().build(tmp_path)
    first, second = f"One\n\n{LONG}\n\n  end\n", f"{OTHER}\n \n{LONG.upper()}  \n\n\nTwo"
    assert kept(dedup, first, second) == [first, f"{OTHER}\n \nTwo"]
    report = dedup.report()
    assert (report["looked_at"], report["removed"], report["documents_shortened"]) == (3, 1, 1)
    assert report["examples"] == [{"document": "d1", "text": LONG.upper()}]
    assert report["characters_removed"] == len(LONG) + 2


def test_a_text_of_nothing_new_is_a_copy_and_short_parts_always_stay(tmp_path):
    dedup = ParagraphsDedupConfig().build(tmp_path)
    assert kept(dedup, LONG, LONG, f"{LONG}\n\n{LONG}\n", "short", "short", f"short\n\n{LONG}") == [
        LONG, None, None, "short", "short", "short",
    ]  # fmt: skip


def test_within_one_text_the_first_stays(tmp_path):
    dedup = ParagraphsDedupConfig().build(tmp_path)
    assert kept(dedup, f"{LONG}\n\n{OTHER}\n\n{LONG}") == [f"{LONG}\n\n{OTHER}"]


def test_lines(tmp_path):
    dedup = LinesDedupConfig(min_characters=20).build(tmp_path)
    first, second = f"Home\n{LONG}\nA\n", f"Home\n{LONG}\n{OTHER}\r\nB"
    assert kept(dedup, first, second) == [first, f"Home\n{OTHER}\r\nB"]


@pytest.mark.parametrize("text", ["", "\n", "a", "a\n", "\n\na\n\n\n b", "a\n \t\n\n  b\n\n", f"{LONG}\r\n\r\nb"])
@pytest.mark.parametrize("config", [ParagraphsDedupConfig(), LinesDedupConfig()])
def test_pieces_are_the_text(config, text, tmp_path):
    dedup = config.build(tmp_path)
    assert "".join(dedup.sketch.split(text)) == text
    assert dedup.keep(text, dedup.sketch(text), "d") is text


def test_a_sketch_may_be_made_in_another_process_and_nothing_is_left_on_disk(tmp_path):
    dedup = LinesDedupConfig().build(tmp_path)
    assert pickle.loads(pickle.dumps(dedup.sketch))(LONG * 3) == dedup.sketch(LONG * 3)
    dedup.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [ParagraphsDedupConfig, LinesDedupConfig])
def test_a_bound_that_is_none(kind):
    with pytest.raises(ConfigError, match="min_characters=0 must be 1 or more"):
        kind(min_characters=0)
