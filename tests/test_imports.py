"""The walls of the house: who imports whom, how large a class may be, and no hidden protocols."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent / "src"
SOURCE = ROOT / "prospero"
FILES = sorted(ROOT.rglob("*.py"))
OURS = [path for path in FILES if path.is_relative_to(SOURCE)]

GROUND = {"registry", "errors", "log", "paths", "secret_values", "plain", "batch", "printable", "spread"}
"""What imports nothing of ours but each other."""
MAY_IMPORT = {
    "completion": GROUND | {"configuration", "runs"},
    "configuration": GROUND | {"data", "training", "evaluation"},  # fit.py reads the Protocols of the roots' groups
    "processes": GROUND | {"configuration"},
    "runs": GROUND | {"configuration", "processes"},
    "model": GROUND,
    "objective": GROUND | {"model", "optim"},
    "optim": GROUND | {"model"},
    "data": GROUND | {"processes"},
    "checkpoints": GROUND | {"model", "data", "runs"},
    "generation": GROUND | {"model", "data"},
    "knowledge": GROUND | {"data"},  # nobody imports it: hosts take a Retrieval of data/retrieval.py by the registry
    "interop": GROUND | {"model", "data", "runs", "checkpoints", "generation"},
    "evaluation": GROUND | {"model", "objective", "data", "generation", "runs"},
    "analysis": GROUND | {"model", "objective", "data", "generation", "runs", "checkpoints", "evaluation"},
    "serving": GROUND | {"model", "data", "generation", "checkpoints"},
    "planning": GROUND | {"model", "objective", "data", "evaluation", "runs"},
    "sweeps": GROUND | {"configuration", "processes", "runs"},
    "board": GROUND | {"configuration", "processes", "runs", "sweeps"},
    "training": GROUND
    | {"configuration", "processes", "runs", "model", "objective", "optim", "data", "checkpoints", "generation"}
    | {"evaluation", "sweeps"},
}
"""Room -> the other rooms it may import; commands/ and the door join them all."""
DOOR = {"cli", "__main__", "__init__", "library", "commands"}
PRIVATE = {"training/lightning_seams.py", "training/strategies.py", "checkpoints/pieces.py", "sweeps/study.py"}
"""Files that may use the private names of other libraries; configuration/ may too."""
LIGHTNING = {"training", "data/datamodule.py"}
MOST_LINES, MOST_ATTRIBUTES = 250, 20
FOREIGN_GETATTR = {
    "training/callbacks/samples.py": "torch.compiler",
    "training/trainer.py": "torch.cpu and torch.ops",
    "training/guards/step_watch.py": "torch's optimisers",
    "training/deferred_compiler.py": "torch's optimisers",
    "checkpoints/writing.py": "an exception",
    "checkpoints/plain_tree.py": "torch's dtypes",
    "checkpoints/pieces.py": "torch's placements",
    "processes/launch.py": "the main module",
    "configuration/schema.py": "a module read from source",
    "objective/terms.py": "torch's graph",
    "data/sources/stdlib_docs.py": "ast nodes",
}
"""File -> whose object it asks with `getattr(object, name, default)`; our own have a base class or a Protocol."""


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def place_of(path: Path) -> str:
    return str(path.relative_to(SOURCE if path.is_relative_to(SOURCE) else ROOT / "hydra_plugins"))


def _statements(nodes: list[ast.stmt]):
    """All statements but those for type checkers, those inside functions too."""
    for node in nodes:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            yield from _statements(node.orelse)
            continue
        yield node
        for part in ("body", "orelse", "finalbody"):
            inner = getattr(node, part, [])
            yield from _statements([item for item in inner if isinstance(item, ast.stmt)] if inner else [])
        for handler in getattr(node, "handlers", []):
            yield from _statements(handler.body)


@cache
def imports(path: Path) -> frozenset[str]:
    """Names of all modules imported anywhere in a file, in full."""
    found = set()
    for node in _statements(tree(path).body):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def rooms(path: Path) -> set[str]:
    """The rooms of ours that a file imports."""
    return {name.split(".")[1] for name in imports(path) if name.startswith("prospero.")}


def test_a_room_imports_only_what_it_may():
    for path in OURS:
        room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        if room in DOOR:
            continue
        allowed = GROUND if room in GROUND else MAY_IMPORT[room] | {room}
        assert rooms(path) - {"__version__"} <= allowed, f"{place_of(path)} imports {sorted(rooms(path) - allowed)}"


def test_each_library_has_its_rooms():
    for path in OURS:
        place, room = place_of(path), path.relative_to(SOURCE).parts[0]
        tops = {name.partition(".")[0] for name in imports(path)}
        if tops & {"hydra", "omegaconf"}:
            assert room == "configuration" or place == "cli.py", place
        if "lightning" in tops:
            assert room in LIGHTNING or place in LIGHTNING, place
        if room == "runs" or room.removesuffix(".py") in GROUND:
            assert "torch" not in tops, place
        if room == "processes":
            assert not {name for name in imports(path) if name.startswith("torch.nn")}, place
        if "transformers" in tops:
            assert room == "interop", place


def test_private_names_of_libraries_have_their_files():
    for path in OURS:
        place = place_of(path)
        private = {
            name
            for name in imports(path)
            if not name.startswith("prospero") and any(part.startswith("_") for part in name.split("."))
        } - {"__future__"}
        assert not private or place in PRIVATE or place.startswith("configuration/"), f"{place} imports {private}"


def test_no_circle_of_files():
    names = {name_of(path): path for path in FILES}
    graph = {name: {other for other in imports(path) if other in names} - {name} for name, path in names.items()}

    def reaches(start: str) -> set[str]:
        seen, stack = set(), [start]
        while stack:
            for other in graph[stack.pop()] - seen:
                seen.add(other)
                stack.append(other)
        return seen

    assert not [name for name in graph if name in reaches(name)]


def _classes(path: Path) -> list[ast.ClassDef]:
    return [node for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef)]


def attributes(node: ast.ClassDef) -> set[str]:
    stored = {
        item.attr
        for item in ast.walk(node)
        if isinstance(item, ast.Attribute)
        and isinstance(item.ctx, ast.Store)
        and isinstance(item.value, ast.Name)
        and item.value.id == "self"
    }
    return stored | {
        item.target.id for item in node.body if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    }


def test_classes_stay_small():
    for node in (node for path in FILES for node in _classes(path)):
        assert (node.end_lineno or 0) - node.lineno + 1 <= MOST_LINES, f"{node.name} is too long"
        if not node.name.endswith("Config"):  # a list of settings is as long as what it sets
            assert len(attributes(node)) <= MOST_ATTRIBUTES, f"{node.name} has {sorted(attributes(node))}"


def test_no_hidden_protocols():
    for path in FILES:
        asked = [
            node.lineno
            for node in ast.walk(tree(path))
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "getattr"
            and len(node.args) == 3
        ]
        place = place_of(path)
        assert not asked or place in FOREIGN_GETATTR, f"getattr with a default in {place}, lines {asked}"


def test_the_list_of_foreign_objects_is_not_longer_than_it_need_be():
    for place in FOREIGN_GETATTR:
        path = SOURCE / place if (SOURCE / place).is_file() else ROOT / "hydra_plugins" / place
        assert "getattr(" in path.read_text(encoding="utf-8"), place


def test_train_is_a_sentence_and_the_reading_path_is_short():
    reading = "commands/train.py training/assembly.py model/transformer.py objective/objective.py training/module.py"
    files = [SOURCE / place for place in reading.split()]
    train = next(n for n in ast.walk(tree(files[0])) if isinstance(n, ast.FunctionDef) and n.name == "train")
    assert (train.end_lineno or 0) - train.lineno + 1 < 20
    program = len((ROOT.parent / "train.py").read_text(encoding="utf-8").splitlines())
    assert program + sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files) < 1000


def test_there_is_no_utils():
    assert not [path for path in FILES if path.stem in {"utils", "common", "helpers", "misc"}]
