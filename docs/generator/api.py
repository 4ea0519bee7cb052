"""The reference of the API: every public class and function by room, with its signature and docstring, from the source.

The source is read, never imported, so that the pages need neither torch nor Lightning.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import prospero
from generator.settings import cell

SOURCE = Path(prospero.__file__).parent
GROUND = "ground"
"""The page of the modules that lie in no room."""
UNSEARCHED = "---\nsearch: {exclude: true}\n---\n\n"
"""Head of the rooms' pages: their thousands of names would hide the prose from who searches."""
SHOWN_DUNDERS = ("__call__", "__len__", "__getitem__", "__iter__")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One file of the package."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def doc(self) -> str:
        """Its docstring."""
        return ast.get_docstring(self.tree) or ""


def api_pages() -> Iterator[tuple[str, str]]:
    """Yield (path, Markdown) of every room, and of the list of rooms."""
    for room, modules in rooms().items():
        yield f"api/{room}.md", UNSEARCHED + "\n".join(_page(room, modules)) + "\n"
    yield "api/index.md", "\n".join(_index()) + "\n"


def api_navigation() -> list[str]:
    """Return the menu of the rooms."""
    return [f"api/{room}.md" for room in rooms()]


@cache
def rooms() -> dict[str, list[Module]]:
    """Return room -> its modules, those of no room last."""
    found: dict[str, list[Module]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        if parts[-1] == "__main__":
            continue
        name = ".".join(["prospero", *parts]).removesuffix(".__init__")
        module = Module(name, path, ast.parse(path.read_text(encoding="utf-8")))
        if module.doc or _public(module.tree.body):
            found.setdefault(parts[0] if len(parts) > 1 else GROUND, []).append(module)
    return {room: found[room] for room in [*sorted(set(found) - {GROUND}), GROUND]}


def _index() -> Iterator[str]:
    yield "# API reference\n"
    yield "What a script or a notebook needs is five names; `import prospero` alone imports nothing heavy:\n"
    yield "```python\nfrom prospero import compose, train, load_model, generate, open_run\n```\n"
    for name, home in sorted(prospero._HOMES.items()):
        module = next(module for modules in rooms().values() for module in modules if module.name == home)
        node = next(node for node in module.tree.body if isinstance(node, Function) and node.name == name)
        yield f"## {name}\n"
        yield f"```python\n{_signature(node)}\n```\n"
        yield f"{_prose(ast.get_docstring(node) or '')}\n"
    yield "## The rooms\n"
    yield "Who may import whom is held by `tests/test_imports.py`. Settings classes stand in"
    yield "[the pages of the groups](../groups/index.md) with every field.\n"
    yield "| room | modules | what is in it |\n|---|--:|---|"
    for room, modules in rooms().items():
        yield f"| [`{room}`]({room}.md) | {len(modules)} | {cell(_about(room, modules))} |"


def _about(room: str, modules: list[Module]) -> str:
    own = next((module.doc for module in modules if module.name == f"prospero.{room}"), "")
    if own:
        return _first_sentence(own)
    return ", ".join(dict.fromkeys(module.name.split(".")[2] for module in modules if module.name.count(".") > 1)) or (
        "what the rooms stand on: " + ", ".join(module.name.removeprefix("prospero.") for module in modules[1:])
    )


def _page(room: str, modules: list[Module]) -> Iterator[str]:
    title = "prospero" if room == GROUND else f"prospero.{room}"
    yield f"# {title}\n"
    for module in modules:
        yield f"## {module.name.removeprefix('prospero.')} {{ #{module.name} }}\n"
        yield f"{_prose(module.doc)}\n"
        for node in _public(module.tree.body):
            yield from _class(node) if isinstance(node, ast.ClassDef) else [f"{_entry(node)}\n"]


def _public(body: list[ast.stmt]) -> list[ast.ClassDef | Function]:
    return [node for node in body if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_")]


def _class(node: ast.ClassDef) -> Iterator[str]:
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    yield f"### `class {node.name}{f'({bases})' if bases else ''}`\n"
    yield f"{_prose(ast.get_docstring(node) or '')}\n"
    for item in node.body:
        if isinstance(item, Function) and (not item.name.startswith("_") or item.name in SHOWN_DUNDERS):
            yield f"- {_entry(item, method=True)}\n"


def _entry(node: Function, *, method: bool = False) -> str:
    """Return a function as one paragraph: its signature as code, and what it does."""
    doc = ast.get_docstring(node) or ""
    is_property = method and any(ast.unparse(item).endswith("property") for item in node.decorator_list)
    arguments = "" if is_property else f"({', '.join(_each_argument(node)[1 if method else 0 :])})"
    returned = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    told = f" {cell(_joined(doc))}" if doc else ""
    return f"`{node.name}{arguments}{returned}`{'<br>' if told else ''}{told}"


def _signature(node: Function) -> str:
    returned = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    whole = f"{node.name}({', '.join(_each_argument(node))}){returned}"
    if len(whole) <= 100:
        return whole
    return f"{node.name}(\n    " + ",\n    ".join(_each_argument(node)) + f",\n){returned}"


def _each_argument(node: Function) -> list[str]:
    """Return the arguments as written, one text each."""
    spec = node.args
    positional = [*spec.posonlyargs, *spec.args]
    defaults = [None] * (len(positional) - len(spec.defaults)) + list(spec.defaults)
    shown = [_argument(item, default) for item, default in zip(positional, defaults, strict=True)]
    if spec.vararg:
        shown.append(f"*{ast.unparse(spec.vararg)}")
    elif spec.kwonlyargs:
        shown.append("*")
    shown += [_argument(item, default) for item, default in zip(spec.kwonlyargs, spec.kw_defaults, strict=True)]
    return shown + ([f"**{ast.unparse(spec.kwarg)}"] if spec.kwarg else [])


def _argument(item: ast.arg, default: ast.expr | None) -> str:
    if default is None:
        return ast.unparse(item)
    return f"{ast.unparse(item)}{' = ' if item.annotation else '='}{ast.unparse(default)}"


def _prose(doc: str) -> str:
    """Return a docstring as Markdown: paragraphs as prose, what is indented or listed as it was written."""
    paragraphs = []
    for part in doc.split("\n\n"):
        lines = part.splitlines()
        if any(line.startswith((" ", "- ", "* ")) for line in lines):
            paragraphs.append("```text\n" + part.replace("```", "'''") + "\n```")
        else:
            paragraphs.append(cell(" ".join(part.split())))
    return "\n\n".join(paragraphs)


def _joined(doc: str) -> str:
    return " ".join(doc.split())


def _first_sentence(doc: str) -> str:
    return _joined(doc.split("\n\n")[0])
