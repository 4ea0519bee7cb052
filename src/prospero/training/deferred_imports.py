"""Lightning without transformers, SciPy and Matplotlib: seconds less until the first step, where they are installed.

Lightning imports torchmetrics, and that imports transformers at once for metrics that few runs use (BERTScore, CLIP
score), `scipy.signal` to give it back a name that an old package for sound wants, and Matplotlib for pictures of
metrics. Here stand-ins take their places while torchmetrics is imported; what torchmetrics took from them imports the
real one when it is first used. Seen with torchmetrics 1.9.
"""

import importlib
import sys
from contextlib import ContextDecorator
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

DEFERRED = (
    *("transformers", "scipy", "scipy.signal"),
    *("matplotlib", "matplotlib.axes", "matplotlib.colors", "matplotlib.style", "matplotlib.pyplot"),
)
IMPORTER = "torchmetrics"


class DeferredName:
    """A class or function that is imported when it is called, asked for an attribute, or for an instance of it."""

    def __init__(self, module: str, name: str) -> None:
        self._deferred_module, self._deferred_name = module, name

    def _real(self) -> Any:
        return getattr(importlib.import_module(self._deferred_module), self._deferred_name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked of everything that stands in a type annotation
            raise AttributeError(name)
        return getattr(self._real(), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._real()(*args, **kwargs)

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, self._real())


class _StandIn(ModuleType):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None)  # whoever asks whether it is installed looks at this

    def __getattr__(self, name: str) -> DeferredName:
        if name.startswith("__"):
            raise AttributeError(name)
        return DeferredName(self.__name__, name)


class _Style(ContextDecorator):
    """`matplotlib.style.context`, with which torchmetrics decorates its functions of pictures at once."""

    def __init__(self, *args: Any) -> None:
        self._args = args

    def _recreate_cm(self) -> "_Style":
        return _Style(*self._args)  # each call of a decorated function enters its own

    def __enter__(self) -> Any:
        self._real = importlib.import_module("matplotlib.style").context(*self._args)
        return self._real.__enter__()

    def __exit__(self, *error: Any) -> Any:
        return self._real.__exit__(*error)


class _WithStandIn(Loader):
    """Loads torchmetrics as `loader` does, with stand-ins in the places of what is deferred meanwhile."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        tops = {name.partition(".")[0] for name in DEFERRED}
        tops = {name for name in tops if name not in sys.modules and PathFinder.find_spec(name) is not None}
        stand_ins = {name: _StandIn(name) for name in DEFERRED if name.partition(".")[0] in tops}
        for name, stand_in in stand_ins.items():
            parent, _, last = name.rpartition(".")
            if parent:
                setattr(stand_ins[parent], last, stand_in)
        if "matplotlib.style" in stand_ins:
            vars(stand_ins["matplotlib.style"])["context"] = _Style
            vars(stand_ins["matplotlib.pyplot"])["style"] = stand_ins["matplotlib.style"]
        sys.modules.update(stand_ins)
        try:
            self.loader.exec_module(module)
        finally:
            for name in stand_ins:
                del sys.modules[name]


class _Finder(MetaPathFinder):
    """Finds torchmetrics, once."""

    def find_spec(self, fullname: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != IMPORTER:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _WithStandIn(spec.loader)
        return spec


def defer_optional_imports() -> None:
    """Have the next import of torchmetrics leave them for later; nothing where that, or they, are imported already."""
    if IMPORTER not in sys.modules and not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
