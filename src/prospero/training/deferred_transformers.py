"""Lightning without transformers: a second and a half less until the first step, on machines where it is installed.

Lightning imports torchmetrics, and that imports transformers at once for metrics that few runs use (BERTScore, CLIP
score). Here a stand-in takes the place of transformers while torchmetrics is imported; what torchmetrics took from it
imports the real one when it is first used. Seen with torchmetrics 1.9.
"""

import importlib
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

DEFERRED, IMPORTER = "transformers", "torchmetrics"


class DeferredName:
    """A class of transformers that is imported when it is called, asked for an attribute, or for an instance of it."""

    def __init__(self, name: str) -> None:
        self._deferred_name = name

    def _real(self) -> Any:
        return getattr(importlib.import_module(DEFERRED), self._deferred_name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real(), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._real()(*args, **kwargs)

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, self._real())


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> DeferredName:
        if name.startswith("__"):
            raise AttributeError(name)
        return DeferredName(name)


class _WithStandIn(Loader):
    """Loads torchmetrics as `loader` does, with the stand-in in the place of transformers meanwhile."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if DEFERRED in sys.modules:
            return self.loader.exec_module(module)
        sys.modules[DEFERRED] = _StandIn(DEFERRED)
        try:
            self.loader.exec_module(module)
        finally:
            del sys.modules[DEFERRED]


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


def defer_transformers() -> None:
    """Have the next import of torchmetrics leave transformers for later; nothing where either is imported already."""
    if IMPORTER not in sys.modules and not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
