"""The embedded knowledge graph: what the sources of the running Python's standard library say about themselves.

    defined in       a class or function -> its module
    method of        a method -> its class
    constant of      a constant -> its module
    derived from     a class -> its first base
    first parameter  a function -> its first parameter
    default          a function -> the first default that is a number or a text
    documented as    a module -> the first sentence of its documentation

Only public names are taken that the whole library defines once, so that a name means one thing and each question has
one answer. The set is the same wherever the version of Python is.
"""

import ast
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prospero.data.sources.python_files import UNREADABLE, read_python
from prospero.data.sources.stdlib import stdlib_files
from prospero.data.triples.triple import Triple

LONGEST_SENTENCE, SHORTEST_NAME = 80, 3
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class Defined:
    """A name that the library defines, where, and what is known of it."""

    name: str
    place: str
    """The module, or for a method the class."""
    triples: tuple[Triple, ...]


def python_facts(notes: Counter[str]) -> Iterator[Triple]:
    """Yield the facts of the standard library, by the names of its files; DataError when it came without sources."""
    modules: list[tuple[str, ast.Module]] = []
    for file in stdlib_files():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # invalid escapes in old code
                tree = ast.parse(read_python(file.path))
        except (OSError, SyntaxError, ValueError, LookupError):
            notes[UNREADABLE] += 1
            continue
        modules.append((file.name.removesuffix(".py").removesuffix("/__init__").replace("/", "."), tree))
    yield from facts_of(modules)


def facts_of(modules: Iterable[tuple[str, ast.Module]]) -> Iterator[Triple]:
    """Yield the facts of modules, given by (name, tree): first of all names that are defined once, then of modules."""
    modules = [(name, tree) for name, tree in modules if not any(part.startswith("_") for part in name.split("."))]
    places: dict[str, set[str]] = {}
    found: dict[str, Defined] = {}
    for module, tree in modules:
        for defined in _definitions(module, tree.body):
            places.setdefault(defined.name, set()).add(defined.place)
            found.setdefault(defined.name, defined)
    for name, defined in found.items():
        if len(places[name]) == 1 and not name.startswith("_") and len(name) >= SHORTEST_NAME:
            yield from defined.triples
    for module, tree in modules:
        sentence = first_sentence(ast.get_docstring(tree) or "")
        if 20 <= len(sentence) <= LONGEST_SENTENCE and sentence.isascii():
            yield Triple(module, "documented as", sentence)


def _definitions(module: str, body: list[ast.stmt]) -> Iterator[Defined]:
    for node in body:
        if isinstance(node, _FUNCTIONS):
            about = [Triple(node.name, "defined in", module), *_of_function(node, method=False)]
            yield Defined(node.name, module, tuple(about))
        elif isinstance(node, ast.ClassDef):
            yield Defined(node.name, module, (Triple(node.name, "defined in", module), *_of_class(node)))
            for inner in node.body:
                if isinstance(inner, _FUNCTIONS):
                    about = [Triple(inner.name, "method of", node.name), *_of_function(inner, method=True)]
                    public = not node.name.startswith("_")
                    yield Defined(inner.name, f"{module}.{node.name}", tuple(about) if public else ())
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    about = (Triple(target.id, "constant of", module),) if target.id.isupper() else ()
                    yield Defined(target.id, module, about)


def _of_class(node: ast.ClassDef) -> Iterator[Triple]:
    base = node.bases[0] if node.bases else None
    name = base.id if isinstance(base, ast.Name) else base.attr if isinstance(base, ast.Attribute) else ""
    if name and name != "object" and not name.startswith("_"):
        yield Triple(node.name, "derived from", name)


def _of_function(node: ast.FunctionDef | ast.AsyncFunctionDef, *, method: bool) -> Iterator[Triple]:
    """Yield the first parameter, behind `self` or `cls`, and the first default that says something."""
    names = [argument.arg for argument in [*node.args.posonlyargs, *node.args.args]]
    names = names[1:] if method and names and not _is_static(node) else names
    if names and not names[0].startswith("_"):
        yield Triple(node.name, "first parameter", names[0])
    for default in node.args.defaults:
        if isinstance(default, ast.Constant) and default.value not in (None, True, False, ""):
            text = repr(default.value)
            if len(text) <= 20 and text.isascii() and not set(text) & set("\\{}"):
                yield Triple(node.name, "default", text)
                return


def _is_static(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(isinstance(item, ast.Name) and item.id == "staticmethod" for item in node.decorator_list)


def first_sentence(text: str) -> str:
    """Return the first sentence of the first paragraph, on one line, without its full stop."""
    paragraph = " ".join(text.strip().partition("\n\n")[0].split())
    return paragraph.partition(". ")[0].rstrip(".").strip()
