"""Settings read from source: the schema of a Config class without importing the module that holds it.

A part's settings stand directly above the part, and the part needs torch, which takes seconds to import. Composing a
configuration (`--cfg job`, `--help`, shell completion, the parent of a sweep) needs only the names, types and
defaults. So the module's source is parsed, and its Enum and dataclass definitions, stripped of their methods, are
executed in an empty module of their own. What comes out is checked by OmegaConf like any dataclass; each class
remembers in `__source__` which real class it stands for, and `configuration.typed` builds that one.
"""

import ast
import dataclasses
import enum
import importlib.util
import inspect
import sys
import textwrap
import types
import typing
from functools import cache
from pathlib import Path
from typing import Any

PREFIX = "prospero_schema_of."


def schema(path: str) -> type:
    """Return the schema class for `"module:ConfigClass"`; `__source__` on it is `path`, `__field_docs__` its docs.

    Raises LookupError when the module or the class is not there.
    """
    module_name, _, class_name = path.partition(":")
    module = _light_module(module_name)
    found = getattr(module, class_name, None)
    if not isinstance(found, type):
        raise LookupError(f"{module_name} defines no settings class '{class_name}'")
    return found


def field_docs(settings: str | type) -> dict[str, str]:
    """Return the docstring under each field of a settings class, its base classes' fields included.

    The class is given as `"module:ConfigClass"`, or as itself: a schema class, or a class of the user's own, whose
    docstrings are read from its source where there is one.
    """
    docs: dict[str, str] = {}
    for base in reversed((schema(settings) if isinstance(settings, str) else settings).__mro__):
        if "__field_docs__" in base.__dict__:
            docs.update(base.__dict__["__field_docs__"])
        elif dataclasses.is_dataclass(base):
            docs.update(_docs_in_source(base))
    return docs


def _docs_in_source(real: type) -> dict[str, str]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(real)))
    except (OSError, TypeError, SyntaxError):
        return {}  # made without a file, as in a notebook's exec
    node = tree.body[0]
    return _docs_under_fields(node) if isinstance(node, ast.ClassDef) else {}


def constant(module: str, name: str) -> Any:
    """Return what a module assigns to `name`, a plain value, read from its source; None if it has no such name."""
    for node in ast.parse(source_file(module).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            return ast.literal_eval(node.value)
    return None


@cache
def _light_module(name: str) -> types.ModuleType:
    source = source_file(name)
    tree = ast.parse(source.read_text(encoding="utf-8"), filename=str(source))
    light = types.ModuleType(PREFIX + name)
    light.__file__ = str(source)
    vars(light).update(dataclass=dataclasses.dataclass, field=dataclasses.field, dataclasses=dataclasses)
    vars(light).update(Enum=enum.Enum, enum=enum, Any=typing.Any, MISSING="???")
    sys.modules[light.__name__] = light  # typing.get_type_hints and Enum look the module up by name
    imported = _imported_names(tree)
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        is_enum = any(isinstance(base, ast.Name) and base.id in ("Enum", "StrEnum", "IntEnum") for base in node.bases)
        if not (is_enum or _is_dataclass(node)):
            continue
        if not _bring_in(node, light, imported):
            continue  # a dataclass that is no settings class: it uses names from elsewhere
        docs = _docs_under_fields(node)
        body: list[ast.stmt] = [item for item in node.body if isinstance(item, ast.AnnAssign | ast.Assign | ast.Expr)]
        bare = ast.ClassDef(node.name, node.bases, node.keywords, body or [ast.Pass()], node.decorator_list)
        code = ast.fix_missing_locations(ast.Module([ast.copy_location(bare, node)], []))
        exec(compile(code, str(source), "exec"), vars(light))
        made = vars(light)[node.name]
        made.__source__ = f"{name}:{node.name}"
        if not is_enum:
            made.__field_docs__ = docs
    return light


def source_file(module_name: str) -> Path:
    """Find a module's file without running any package's `__init__` but the top one's."""
    top, *rest = module_name.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None:
        raise LookupError(f"there is no module '{module_name}'")
    folders = list(spec.submodule_search_locations or [])
    if not rest and spec.origin:
        return Path(spec.origin)
    for folder in folders:
        base = Path(folder, *rest)
        for candidate in (base.with_suffix(".py"), base / "__init__.py"):
            if candidate.is_file():
                return candidate
    raise LookupError(f"there is no module '{module_name}'")


def _is_dataclass(node: ast.ClassDef) -> bool:
    names = [item.func if isinstance(item, ast.Call) else item for item in node.decorator_list]
    return any(isinstance(item, ast.Name) and item.id == "dataclass" for item in names)


def _imported_names(tree: ast.Module) -> dict[str, tuple[str, str]]:
    """Map each name brought in by `from package.module import name` to (module, name)."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for alias in node.names:
                found[alias.asname or alias.name] = (node.module, alias.name)
    return found


def _bring_in(node: ast.ClassDef, light: types.ModuleType, imported: dict[str, tuple[str, str]]) -> bool:
    """Make the names that bases, annotations and defaults use available; False when one is not a plain setting."""
    parts: list[ast.AST] = list(node.bases)
    for item in node.body:
        if isinstance(item, ast.AnnAssign):
            parts += [item.annotation] + ([item.value] if item.value is not None else [])
    names = {sub.id for part in parts for sub in ast.walk(part) if isinstance(sub, ast.Name)}
    for name in (
        names - set(vars(light)) - set(vars(__builtins__) if not isinstance(__builtins__, dict) else __builtins__)
    ):
        module, original = imported.get(name, ("", ""))
        top = module.partition(".")[0]
        if module.endswith(".parts"):
            vars(light)[name] = Any  # what a group asks of its parts; which part it is, the choice says
            continue
        if not module or top in ("torch", "lightning", "numpy"):
            return False
        try:
            vars(light)[name] = getattr(_light_module(module), original)
        except (LookupError, AttributeError):
            if top in sys.stdlib_module_names:
                vars(light)[name] = getattr(importlib.import_module(module), original)
            else:
                return False
    return True


def _docs_under_fields(node: ast.ClassDef) -> dict[str, str]:
    docs = {}
    for item, following in zip(node.body, node.body[1:], strict=False):
        if (
            isinstance(item, ast.AnnAssign)
            and isinstance(item.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
            and isinstance(following.value.value, str)
        ):
            docs[item.target.id] = " ".join(following.value.value.split())
    return docs
