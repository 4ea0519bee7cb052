"""Prose alone: topics and docstrings."""

import pytest

from prospero.data.sources.stdlib_docs import StdlibDocsConfig, docstrings

SOURCE = '''"""Module
   second line.
"""
x = "no docstring"
def f():
    """F.

    Flush.
        Indented.
    """
    def g():
        "G."
class C:
    async def h(self):
        """H \\ud800."""
'''


def test_docstrings_in_order_and_without_indentation():
    assert docstrings(SOURCE) == ["Module\nsecond line.", "F.\n\nFlush.\n    Indented.", "G.", "H ?."]


@pytest.mark.heavy
def test_the_corpus_of_this_python():
    source = StdlibDocsConfig().build()
    read = list(source.documents())
    documents = {document.id: document.text for document in read}
    total = sum(len(text.encode()) for text in documents.values())
    assert 1e6 < total < 4e6
    assert "pydoc_data/topics#while" in documents
    assert {document.source for document in read} == {"stdlib_docs"}
    assert documents["json/decoder.py#docs"].startswith("Subclass of ValueError with the following")
    assert "def decode(" not in documents["json/decoder.py#docs"]
    assert source.notes["docstrings left out: too short"] > 100
    assert source.identity() != StdlibDocsConfig(min_characters=1).build().identity()
    assert source.size_bytes() > 1e6
    assert "docstrings" in source.describe()
