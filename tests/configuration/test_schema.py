"""The settings of a part are read from its source; torch stays out."""

import subprocess
import sys

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from prospero import registry
from prospero.configuration.schema import field_docs, schema

SOURCE = '''
"""A part with heavy imports at the top."""
from dataclasses import dataclass, field
from enum import Enum
import not_installed_anywhere

from {base_module} import BaseConfig, Shape

class Norm(Enum):
    rms = "rms"
    layer = "layer"

@dataclass(kw_only=True, slots=True)
class PartConfig(BaseConfig):
    """A part."""
    n_layers: int = 2
    """Number of layers."""
    norm: Norm = Norm.rms
    """Kind of norm."""
    shape: Shape = Shape.linear
    """Shape."""
    names: list[str] = field(default_factory=lambda: ["a"])
    """Names."""

    def __post_init__(self) -> None:
        raise RuntimeError("methods are not part of the schema")

    def build(self) -> "Part":
        return Part(self)

class Part(not_installed_anywhere.Module):
    pass
'''
BASE = '''
from dataclasses import dataclass
from enum import Enum
class Shape(Enum):
    linear = "linear"
@dataclass(kw_only=True, slots=True)
class BaseConfig:
    weight: float | None = None
    """Weight of the part."""
'''


@pytest.fixture
def part(tmp_path, monkeypatch):
    package = f"made_{tmp_path.name.replace('-', '_')}"
    folder = tmp_path / package
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('a package is not imported either')")
    (folder / "base.py").write_text(BASE)
    (folder / "part.py").write_text(SOURCE.replace("{base_module}", f"{package}.base"))
    monkeypatch.syspath_prepend(tmp_path)
    return f"{package}.part:PartConfig"


def test_reads_fields_enums_bases_and_docs_without_importing(part):
    config = OmegaConf.structured(schema(part))
    assert OmegaConf.to_container(config, enum_to_str=True) == {
        "weight": None, "n_layers": 2, "norm": "rms", "shape": "linear", "names": ["a"],
    }  # fmt: skip
    assert field_docs(part)["n_layers"] == "Number of layers."
    assert field_docs(part)["weight"] == "Weight of the part."
    assert schema(part).__source__ == part


def test_types_are_checked(part):
    config = OmegaConf.structured(schema(part))
    with pytest.raises(OmegaConfBaseException):
        config.n_layers = "many"
    with pytest.raises(OmegaConfBaseException):
        config.n_layr = 3
    config.norm = "layer"
    assert config.norm.name == "layer"


def test_missing_class_and_module_are_named(part):
    with pytest.raises(LookupError, match="NoConfig"):
        schema(part.replace("PartConfig", "NoConfig"))
    with pytest.raises(LookupError, match=r"prospero\.nowhere"):
        schema("prospero.nowhere:Config")


@pytest.mark.parametrize(
    "path",
    [p for group in registry.PARTS.values() for p in group.values()]
    + sorted({verb.settings for verb in registry.VERBS.values() if verb.settings}),
)
def test_every_registered_part_has_a_schema_with_documented_fields(path):
    light = schema(path)
    OmegaConf.structured(light)
    undocumented = set(light.__dataclass_fields__) - set(field_docs(path))
    assert not undocumented, f"{path}: no docstring under {undocumented}"
    assert light.__doc__ and not light.__doc__.startswith(light.__name__ + "("), f"{path} has no docstring"


def test_schema_equals_the_real_class():
    """Same fields, same defaults, for every part: reading the source loses nothing."""
    from prospero.configuration.composition import real_class
    from prospero.plain import plain

    for group, parts in registry.PARTS.items():
        for name, path in parts.items():
            light = schema(path)
            real = real_class(light)
            assert list(light.__dataclass_fields__) == list(real.__dataclass_fields__), path
            assert registry.name_of(group, real) == name
            for field in real.__dataclass_fields__.values():
                twin = light.__dataclass_fields__[field.name]
                for key in ("default", "default_factory"):
                    ours, theirs = getattr(twin, key), getattr(field, key)
                    if callable(theirs):
                        ours, theirs = ours(), theirs()
                    assert plain(ours) == plain(theirs) or "MISSING" in repr(theirs), f"{path}.{field.name}"


@pytest.mark.processes
@pytest.mark.parametrize("words", [["--cfg", "job"], ["--help"], ["model=small", "--help"]], ids=" ".join)
def test_composing_and_help_import_nothing_heavy(words):
    code = (
        f"import sys; sys.argv=['train.py', *{words!r}]\n"
        "from prospero.cli import main\n"
        "try: main('train')\n"
        "except SystemExit as e: assert e.code == 0, e.code\n"
        "assert not {'torch','lightning','wandb','matplotlib'} & set(sys.modules), 'heavy'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "n_layers" in done.stdout or words == ["--help"]


def test_plugin_classes_have_their_docs_too():
    from tests.plugins.docs import MineConfig

    assert field_docs(MineConfig) == {"weight": "Of the base.", "lr": "Peak learning rate."}
