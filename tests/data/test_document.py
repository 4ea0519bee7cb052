"""A document is its text and a stable id."""

import pytest

from prospero.data.document import Document


def test_document_holds_text_and_id_and_nothing_else():
    document = Document(text="To be", id="hamlet.txt#3")
    assert (document.text, document.id) == ("To be", "hamlet.txt#3")
    with pytest.raises(AttributeError):
        document.url = "x"  # type: ignore[attr-defined]
