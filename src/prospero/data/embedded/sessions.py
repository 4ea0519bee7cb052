"""Sessions at the Python prompt, from docstrings: what was said so far, and what the interpreter answers."""

import ast
import doctest
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prospero.data.document import Document
from prospero.data.embedded.functions import parsed

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_ANSWER_CHARACTERS = range(1, 161)


def sessions(documents: Sequence[Document]) -> list[Mapping[str, Any]]:
    """Return {session, answer, file} of each statement that is answered, with all that was said before it."""
    return [row for document in documents for text in _docstrings(document) for row in _turns(text, document.id)]


def _docstrings(document: Document) -> Iterator[str]:
    tree = parsed(document)
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, _DOCUMENTED) and (text := ast.get_docstring(node, clean=False)) and ">>>" in text:
            yield inspect.cleandoc(text)


def _turns(text: str, file: str) -> Iterator[Mapping[str, Any]]:
    try:
        examples = doctest.DocTestParser().get_examples(text)
    except ValueError:  # what looks like a session and is none
        return
    said = ""
    for example in examples:
        first, *rest = example.source.splitlines()
        said += "".join([f">>> {first}\n", *(f"... {line}\n" for line in rest)])
        answer = example.want.strip("\n")
        plain = "..." not in answer and "<BLANKLINE>" not in answer and example.exc_msg is None
        if plain and len(answer) in _ANSWER_CHARACTERS:
            yield {"session": said, "answer": answer, "file": file}
        said += example.want
