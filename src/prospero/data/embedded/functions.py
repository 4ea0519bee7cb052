"""Functions of Python files: with their docstring's first line apart, or with their body apart."""

import ast
import inspect
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prospero.data.document import Document
from prospero.data.embedded.doctested import FUNCTIONS

_SUMMARY_CHARACTERS = range(15, 121)
_SOURCE_CHARACTERS = range(60, 1501)
_HEAD_CHARACTERS = range(40, 1001)
_BODY_CHARACTERS = range(20, 801)


def summaries(documents: Sequence[Document]) -> list[Mapping[str, Any]]:
    """Return {source, name, summary, file} of each documented function that is neither tiny nor long."""
    return [row for document in documents for row in _of_file(document)]


def parsed(document: Document) -> ast.Module | None:
    """Return the tree of a Python file; None for other documents, and for what this Python cannot parse."""
    if not document.id.endswith(".py"):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in old code
        try:
            return ast.parse(document.text)
        except (SyntaxError, ValueError):
            return None


def _of_file(document: Document) -> Iterator[Mapping[str, Any]]:
    tree = parsed(document)
    lines = document.text.splitlines()
    for node in ast.walk(tree) if tree is not None else ():
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or len(node.body) < 2:
            continue
        docstring = ast.get_docstring(node, clean=False)
        summary, *rest = inspect.cleandoc(docstring or "").strip().splitlines() or [""]
        if rest and rest[0].strip():  # a sentence that goes on: the line alone says half of it
            continue
        own = node.body[0]
        code = [*lines[node.lineno - 1 : own.lineno - 1], *lines[own.end_lineno or own.lineno : node.end_lineno]]
        source = textwrap.dedent("\n".join(code)).strip("\n")
        summary = summary.strip()
        if len(summary) in _SUMMARY_CHARACTERS and len(source) in _SOURCE_CHARACTERS:
            yield {"source": source, "name": node.name, "summary": summary, "file": document.id}


def bodies(documents: Sequence[Document]) -> list[Mapping[str, Any]]:
    """Return {head, body, name, file} of each documented function that is neither tiny nor long, without indentation.

    The head is the function down to the end of its docstring. The functions that the task `code` asks for are left out.
    """
    return [row for document in documents for row in _bodies_of_file(document)]


def _bodies_of_file(document: Document) -> Iterator[Mapping[str, Any]]:
    tree = parsed(document)
    lines = document.text.splitlines()
    asked = FUNCTIONS.get(document.id.removesuffix(".py").removesuffix("/__init__").replace("/", "."), "").split()
    for node in ast.walk(tree) if tree is not None else ():
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or len(node.body) < 2:
            continue
        if ast.get_docstring(node, clean=False) is None or node.name in asked:
            continue
        end = node.body[0].end_lineno or node.lineno
        whole = textwrap.dedent("\n".join(lines[node.lineno - 1 : node.end_lineno])).splitlines()
        cut = end - node.lineno + 1
        head, body = "\n".join(whole[:cut]) + "\n", "\n".join(whole[cut:]).strip("\n") + "\n"
        if len(head) in _HEAD_CHARACTERS and len(body) in _BODY_CHARACTERS and body[:1].isspace():
            yield {"head": head, "body": body, "name": node.name, "file": document.id}
