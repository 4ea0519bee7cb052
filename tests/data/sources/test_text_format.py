"""Documents between separator lines, wherever the blocks of the stream end."""

import io

import pytest

from prospero.data.sources import reading
from prospero.data.sources.reading import Reading
from prospero.data.sources.text_format import read_text
from tests.data.sources.corpora import read, texts

STORIES = (
    "<|endoftext|>\nOne day\nit rained.\n<|endoftext|>\r\n  <|endoftext|>  \nTwo <|endoftext|> days\n<|endoftext|>"
)


@pytest.mark.parametrize("block", [1, 2, 3, 7, 1 << 20])
def test_separator_lines(monkeypatch, block):
    monkeypatch.setattr(reading, "HEAD_BYTES", block)
    monkeypatch.setattr(reading, "BLOCK_BYTES", block)
    found = list(read_text(io.BytesIO(STORIES.encode()), "s.txt", Reading(document_separator="<|endoftext|>")))
    assert [(document.id, document.text) for document in found] == [
        ("s.txt#1", "One day\nit rained.\n"),
        ("s.txt#2", "Two <|endoftext|> days\n"),
    ]


def test_blank_lines(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("First:\nspeech\n\n \t\n\nSecond:\nspeech\n\nlast")
    assert texts(path, document_separator="") == ["First:\nspeech\n", "Second:\nspeech\n", "last"]
    assert texts(path) == [path.read_text()]


def test_a_long_line_before_a_separator(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("x" * 2_500_000 + "\n%\ny")
    assert [len(text) for text in texts(path, document_separator="%")] == [2_500_001, 1]
    documents = read(path, document_separator="%", max_document_bytes=1_000_000)
    assert [document.id for document in documents] == ["a.txt#1#part1", "a.txt#1#part2", "a.txt#1#part3", "a.txt#2"]
