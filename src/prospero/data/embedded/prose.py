"""Prose of documentation: topics of the language reference and docstrings, as beginnings and ends, and as sentences."""

import ast
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prospero.data.document import Document
from prospero.data.embedded.functions import parsed

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_HALF = 240
"""Characters of a beginning and of its continuation, to the end of a word."""
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_LAST_WORD = re.compile(r" [a-z]{3,}$")
_SENTENCE_WORDS = range(8, 41)


def beginnings(documents: Sequence[Document]) -> list[Mapping[str, Any]]:
    """Return {beginning, continuation, file} of each stretch of prose of twice as many characters."""
    found = []
    for file, text in _prose(documents):
        start = 0
        while len(text) - start >= 2 * _HALF:
            middle, end = _word_end(text, start + _HALF), _word_end(text, start + 2 * _HALF)
            if start < middle < end:
                row = {"beginning": text[start:middle], "continuation": text[middle:end], "file": file}
                found.append(row)
            start = max(end, start + _HALF)
            start += len(text[start:]) - len(text[start:].lstrip())
    return found


def sentences(documents: Sequence[Document]) -> list[Mapping[str, Any]]:
    """Return {text, file} of each sentence that ends with a plain word, without its full stop."""
    found = []
    for file, text in _prose(documents):
        for paragraph in re.split(r"\n\s*\n", text):
            for sentence in _SENTENCE.split(" ".join(paragraph.split())):
                words = sentence.removesuffix(".")
                if words != sentence and _is_asked(words):
                    found.append({"text": words, "file": file})
    return found


def _is_asked(sentence: str) -> bool:
    """Return whether a sentence is of usual length, plain words, and ends with one."""
    usual = sentence[:1].isupper() and len(sentence.split()) in _SENTENCE_WORDS
    return usual and _LAST_WORD.search(sentence) is not None and _is_prose(sentence)


def _prose(documents: Sequence[Document]) -> Iterator[tuple[str, str]]:
    """Give (file, text) of each topic and docstring that is mostly words."""
    for document in documents:
        tree = parsed(document)
        if tree is None:
            texts = [document.text] if "#" in document.id else []
        else:
            nodes = (node for node in ast.walk(tree) if isinstance(node, _DOCUMENTED))
            texts = [inspect.cleandoc(text) for node in nodes if (text := ast.get_docstring(node, clean=False))]
        for text in texts:
            if text and _is_prose(text):
                yield document.id, text


def _is_prose(text: str) -> bool:
    """Return whether nine of ten characters are letters, spaces or full stops and commas, and none is of a session."""
    plain = sum(character.isalpha() or character in " \n.," for character in text)
    return plain >= 0.9 * len(text) and ">>>" not in text


def _word_end(text: str, place: int) -> int:
    """Return the end of the last word that ends at `place` or before."""
    while 0 < place < len(text) and not text[place].isspace():
        place -= 1
    return place
