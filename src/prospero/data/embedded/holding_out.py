"""Which split a file of the standard library belongs to, for everything that is made of it.

A model that is trained on `data=stdlib` holds out some of the files: those whose cleaned text has a certain hash. What
is made of a file later, functions or sessions, goes where the file went, so that it stays held out.
"""

from prospero.data.cleaning.control_characters import ControlCharactersConfig
from prospero.data.cleaning.pipeline import CleaningPipeline
from prospero.data.cleaning.step import Drop
from prospero.data.cleaning.unicode import UnicodeConfig
from prospero.data.cleaning.white_space import WhiteSpaceConfig
from prospero.data.document import Document
from prospero.data.split import key_of


class FileKeys:
    """Document -> the key that stands for its text as the default cleaning of code leaves it."""

    STEPS = (UnicodeConfig(), ControlCharactersConfig(), WhiteSpaceConfig())
    """Those of conf/cleaning/code.yaml, the default."""

    def __init__(self) -> None:
        self.pipeline = CleaningPipeline({type(step).__name__: step.build() for step in self.STEPS})

    def __call__(self, document: Document) -> str:
        """Return the key of a document that keeps all that is made of it in one split."""
        cleaned = self.pipeline(document)
        return key_of(document.text if isinstance(cleaned, Drop) else cleaned.text)
