"""A document is its text, a stable id and a source."""

import pytest

from prospero.data.document import Document


def test_document_holds_text_id_and_source_and_nothing_else():
    document = Document(text="To be", id="hamlet.txt#3")
    assert (document.text, document.id, document.source) == ("To be", "hamlet.txt#3", "text")
    with pytest.raises(AttributeError):
        document.url = "x"  # type: ignore[attr-defined]
